"""What runs inside the sandbox: standard library only, started by path with `-I -S -E`, not with the rest of us."""
