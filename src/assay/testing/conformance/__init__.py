"""What every implementation of a port must do, as test classes: subclass one as `Test...` and give it its fixtures.

The suites need pytest with pytest-asyncio in auto mode, and wait for nothing longer than a few seconds.
"""
