"""Give the model a tool of your own: a typed function.

    python custom_tool.py

The annotations become the schema, arguments arrive converted, exceptions become results that the model can read. A
tool that is not `read_only` runs only by leave: a rule in `allowed_tools`, or a callback (see ask_before.py).
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal

from assay import Options, ResultMessage, query, tool

STOCK = {"apple": 3, "pear": 0}


@dataclass
class Order:
    item: Annotated[str, "what is ordered"]
    count: int = 1


@tool(read_only=True)
async def stock(item: Annotated[str, "name of the item"], unit: Literal["pieces", "boxes"] = "pieces") -> str:
    """How many of an item there are."""
    return f"{STOCK[item]} {unit}"


@tool
def order(what: Order) -> dict[str, int]:
    """Order more of an item."""
    STOCK[what.item] += what.count
    return STOCK


async def main() -> None:
    options = Options(tools=[stock, order], allowed_tools=["order"], max_turns=10)
    async for message in query(prompt="Order two pears if we have none.", options=options):
        if isinstance(message, ResultMessage):
            print(message.result)
    print(STOCK)


if __name__ == "__main__":
    asyncio.run(main())
