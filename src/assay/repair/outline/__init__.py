"""What a source file holds: its functions and types with line ranges and signatures, in any of the common languages.

Python is read by its own parser. JavaScript, TypeScript, Go, Rust, Java, C, C++, Ruby and PHP are read by tree-sitter's
grammars where the extra `grammars` is installed, else by patterns for declarations, which is coarser: see `How`.
"""
