"""An answer in the shape of a type: the result has an instance of it.

    python structured_output.py

Dataclasses, TypedDict, msgspec's Structs and pydantic's models will do.
"""

from dataclasses import dataclass, field

import assay


@dataclass
class Function:
    name: str
    purpose: str


@dataclass
class Survey:
    functions: list[Function]
    risks: list[str] = field(default_factory=list)


def main() -> None:
    result = assay.run_sync("Survey the functions of this project.", output=Survey, max_turns=20)
    survey = result.structured_output
    assert isinstance(survey, Survey)
    for function in survey.functions:
        print(f"{function.name}: {function.purpose}")


if __name__ == "__main__":
    main()
