"""What to remember about a person and a project, and when to bring it up.

Nothing remembers yet. Whatever comes here is a `core.context.FragmentSource`: bounded, owned, silent unless it matters.
"""
