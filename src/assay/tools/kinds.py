"""What a file is, by its first bytes."""

from __future__ import annotations

_KINDS = (
    (b"%PDF", "PDF document"),
    (b"PK\x03\x04", "ZIP archive (or a format built on it)"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\0", "xz data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"\x7fELF", "ELF program or library"),
    (b"MZ", "Windows program"),
    (b"\xcf\xfa\xed\xfe", "Mach-O program"),
    (b"\xca\xfe\xba\xbe", "Java class or Mach-O program"),
    (b"\0asm", "WebAssembly module"),
    (b"SQLite format 3\0", "SQLite database"),
    (b"GGUF", "GGUF model"),
)


def image_type(data: bytes) -> str:
    """The media type of an image that models take, or empty."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def kind_of(data: bytes) -> str:
    if data[257:262] == b"ustar":
        return "tar archive"
    return next((kind for start, kind in _KINDS if data.startswith(start)), "binary data")
