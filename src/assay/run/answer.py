"""A final answer in a shape that the user gave (`--json-schema`)."""

from __future__ import annotations

import msgspec

from assay.core.errors import InvalidArguments
from assay.core.messages import Json
from assay.core.schema import first_breach

TOOL = "StructuredOutput"
"""The tool through which the answer is given, where the model is offered it."""
ATTEMPTS = 5
"""Calls of it with a wrong answer, after which the turn ends."""
NO_ANSWER = f"the answer did not meet the JSON schema in {ATTEMPTS} attempts"


class StructuredAnswer:
    """Knows what to ask for, and what a text still lacks."""

    def __init__(self, schema: dict[str, Json] | None):
        self._schema = schema

    def instruction(self, by_call: bool = False) -> str:
        """What to tell the model; empty when any answer will do. `by_call`: it has the tool for it."""
        if self._schema is None:
            return ""
        if by_call:
            return f"Give your final answer by one call of {TOOL}, when all the work is done."
        text = msgspec.json.encode(self._schema).decode()
        return f"Your final answer must be only one JSON value that meets this JSON Schema:\n{text}"

    def read(self, text: str) -> Json:
        """The value in `text`, a code fence around it allowed. Raises `InvalidArguments` when it breaks the schema."""
        stripped = text.strip()
        if stripped.startswith("```"):
            stripped = stripped.partition("\n")[2].rpartition("```")[0]
        try:
            value: Json = msgspec.json.decode(stripped)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidArguments(f"not JSON: {error}") from error
        if breach := first_breach(value, self._schema or {}, "$"):
            raise InvalidArguments(breach)
        return value

    def owed(self, text: str) -> str:
        """What to tell the model about `text`; empty when it will do."""
        if self._schema is None:
            return ""
        try:
            self.read(text)
        except InvalidArguments as error:
            return f"The final answer does not meet the JSON schema ({error}). Answer with only the corrected JSON."
        return ""
