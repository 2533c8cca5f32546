"""The JSON Schema of sync-metadata.json; `python -m tests.project.schema --write` writes it to docs/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic.json_schema import GenerateJsonSchema

from steps.contracts import State

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core.core_schema import WithDefaultSchema

FILE = Path(__file__).parents[2] / "docs" / "sync-metadata.schema.json"


class _Written(GenerateJsonSchema):
    """Generates a schema in which every field is required, because git-sync writes all fields."""

    def field_is_required(self, *_: object, **__: object) -> bool:
        return True

    def field_title_should_be_set(self, *_: object) -> bool:
        return False

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def schema() -> dict[str, Any]:
    """Return the schema; it rejects unknown fields, because a new field raises the schema version."""
    return generated(State, "sync-metadata.json")


def generated(model: type[BaseModel], title: str) -> dict[str, Any]:
    """Return the schema of a document."""
    found = model.model_json_schema(schema_generator=_Written, mode="serialization")
    # Docstrings mark code with two back-ticks.
    plain: dict[str, Any] = json.loads(json.dumps(found).replace("``", "`"))
    return {"$schema": _Written.schema_dialect} | plain | {"title": title}


def text() -> str:
    """Return the schema as the file contains it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


@click.command()
@click.option("--write", is_flag=True, help="Write docs/sync-metadata.schema.json instead of printing it.")
def main(*, write: bool) -> None:
    """Generate the JSON Schema of sync-metadata.json from the model."""
    if write:
        FILE.write_text(text())
    else:
        click.echo(text(), nl=False)


if __name__ == "__main__":
    main()
