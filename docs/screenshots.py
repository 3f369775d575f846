"""Makes the pictures of the README, `docs/up.svg` and `docs/traces.svg`: the screen of a real run of the example.

Run it after the screen has changed: .venv/bin/python docs/screenshots.py
"""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Final

from rich.console import Console

from tcpservice_cli.keys import DOWN, TAB
from tcpservice_cli.screen import Screen
from tcpservice_local.files import Files
from tcpservice_local.local import Asked, Local

HERE: Final = Path(__file__).parent
EXAMPLE: Final = HERE.parent / "examples" / "orders"
COLUMNS: Final = 104
ROWS: Final = {"up": 26, "traces": 18}
LOAD_S: Final = 12.0
AFTER_S: Final = 1.5
FORMAT: Final = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" xml:space="preserve">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


async def main() -> None:
    """Run the example, kill a replica, and draw both views."""
    screen = Screen(Console(file=io.StringIO(), width=COLUMNS, height=ROWS["up"]))
    async with Local(Asked(files=Files([EXAMPLE])), screen.told, screen.said, screen.changed) as local:
        screen.attach(local)
        while not local.fleet.ready():
            await asyncio.sleep(0.1)
        await asyncio.sleep(LOAD_S)
        screen.press(DOWN)
        local.fleet.kill("orders-2")
        await asyncio.sleep(AFTER_S)
        save(screen, "up")
        screen.press(TAB)
        save(screen, "traces")


def save(screen: Screen, name: str) -> None:
    """Draw the screen into a file."""
    console = Console(record=True, file=io.StringIO(), width=COLUMNS, height=ROWS[name], force_terminal=True)
    console.print(screen.draw(console.size))
    picture = console.export_svg(title="tcpservice up -f examples/orders", code_format=FORMAT, unique_id=name)
    (HERE / f"{name}.svg").write_text(picture)


if __name__ == "__main__":
    asyncio.run(main())
