"""Files that users already have: skills, commands, agents, output styles, plugins."""
