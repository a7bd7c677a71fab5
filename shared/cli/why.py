"""`quantum why`: the whole story of a position, and the first place at which it stands still.

Reads what `shared.why.read` reads; writes nothing. With --json the same for machines.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from shared.cli.desk import a_desk
from shared.cli.inspect import ConfigOption, JsonOption
from shared.cli.why_show import show
from shared.sections import terms_of
from shared.symbols import as_typed
from shared.why.chains import Chain
from shared.why.document import as_json
from shared.why.findings import findings_of, findings_of_one, findings_of_unread
from shared.why.read import read_picture, symbol_of
from shared.why.sound import sound_story
from shared.why.story import Story
from shared.why.words import Finding


def why(
    *,
    symbol: Annotated[str | None, typer.Argument(help="A symbol such as BTCUSDT.")] = None,
    plan: Annotated[str | None, typer.Option(help="One plan, by its id.")] = None,
    intent: Annotated[str | None, typer.Option(help="One intent, by its id.")] = None,
    config: ConfigOption = None,
    json_: JsonOption = False,
) -> None:
    """Say why nothing has been sold: what a position waits for, and who holds it up.

    Tells the entry's causes, every rung with its price, the stop's history, the kill score, the
    last evaluation, and first of all the reason. With --intent or --plan, what became of that one.
    Exits with 1 if something must be mended.
    """
    if sum(given is not None for given in (symbol, plan, intent)) != 1:
        raise typer.BadParameter("give a symbol, or --plan, or --intent")
    with a_desk(config) as desk:
        name = (
            as_typed(symbol) if symbol else symbol_of(desk.client, plan_id=plan, intent_id=intent)
        )
        if name is None:
            typer.echo(f"no stream and no dead letter tells of {plan or intent}", err=True)
            raise typer.Exit(1)
        picture = read_picture(desk.client, name, terms_of(desk.settings, name))
    story = sound_story(picture)
    chain = None
    if symbol is None:
        chain, findings = _one(story, plan_id=plan, intent_id=intent)
    else:
        findings = findings_of(story)
    if json_:
        typer.echo(json.dumps(as_json(story, findings, chain)))
    else:
        show(story, findings, chain)
    raise typer.Exit(1 if any(finding.verdict == "fail" for finding in findings) else 0)


def _one(
    story: Story, *, plan_id: str | None, intent_id: str | None
) -> tuple[Chain | None, list[Finding]]:
    """The intent that was asked about, by its own id or its plan's, and what there is to say."""
    for chain in story.chains.values():
        if chain.intent_id == intent_id or (plan_id is not None and chain.plan_id == plan_id):
            return chain, findings_of_one(story, chain)
    return None, findings_of_unread(story, plan_id or intent_id or "")
