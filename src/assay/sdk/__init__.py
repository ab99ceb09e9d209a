"""The library's front door: an agent in your own process. `import assay` has all its names; docs/sdk.md is the guide.

A surface like the others, driving `app.task.Task`, but for programs: no child process, no pipe, no screen.
"""
