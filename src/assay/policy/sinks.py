"""To which sink an effect goes, and what is decided about it where no rule of the user speaks."""

from __future__ import annotations

import re

from assay.core.egress import host_name
from assay.core.policy import Effect, Label, Sink, Verdict, Weighed
from assay.policy.bounds import Bounds, PermissionMode
from assay.policy.matching import Matcher
from assay.policy.paths import Place, place_of, within

_FILES = frozenset({"read", "write", "delete", "destroy"})
_DEVICES = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/zero", "/dev/random", "/dev/urandom"})
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - what commands use, not we
