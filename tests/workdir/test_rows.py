"""Headers and footers of row files reject what another version wrote."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from steps.workdir.rows import BaselineHeader, BaselineRow, ListedRow, RowsHeader


def test_header_rejects_another_schema_version() -> None:
    text = BaselineHeader(identity="i", cluster="east", tree="").model_dump_json()
    with pytest.raises(ValidationError):
        BaselineHeader.model_validate_json(text.replace('"schema_version":2', '"schema_version":1'))


def test_header_rejects_unknown_fields() -> None:
    with pytest.raises(ValidationError):
        RowsHeader.model_validate_json('{"identity": "i", "more": 1}')


def test_rows_of_listing_and_baseline_end_with_the_same_fields() -> None:
    assert ListedRow._fields[2:] == BaselineRow._fields[3:] == ("size", "etag")
