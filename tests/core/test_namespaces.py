"""Namespaces that the bucket no longer contains."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from steps.core.namespaces import FEWEST_FILES, Vanished, keeps_namespaces, vanished_namespaces

_SEGMENTS = st.sampled_from([b"a", b"a-b", b"a.b", b"ab", b"b"])
_PATHS = st.dictionaries(
    st.lists(_SEGMENTS, min_size=1, max_size=4).map(lambda parts: b"/".join([b"c", *parts])), st.booleans()
)


def _expected(paths: dict[bytes, bool]) -> set[Vanished]:
    found: dict[bytes, list[bool]] = defaultdict(list)
    for path, is_missing in paths.items():
        cluster, namespace, *rest = path.split(b"/")
        if rest:
            found[b"%b/%b/" % (cluster, namespace)].append(is_missing)
    return {Vanished(p, len(m)) for p, m in found.items() if all(m) and len(m) >= FEWEST_FILES}


@given(_PATHS, st.sets(_SEGMENTS))
def test_vanished_namespaces_have_only_missing_files(paths: dict[bytes, bool], lost: set[bytes]) -> None:
    paths |= {b"c/%b/%d" % (name, number): True for name in lost for number in range(FEWEST_FILES)}
    expected = _expected(paths)
    assert set(vanished_namespaces(sorted(paths.items()))) == expected
    keeps = keeps_namespaces(vanished_namespaces(sorted(paths.items())))
    kept = {path for path in sorted(paths) if paths[path] and keeps(path)}
    assert kept == {path for path in paths if any(path.startswith(one.prefix) for one in expected)}


def test_vanished_namespace_has_its_name_without_the_cluster() -> None:
    files = ((b"east/payments/%d" % number, True) for number in range(FEWEST_FILES))
    (lost,) = vanished_namespaces(files)
    assert (lost.name, lost.files) == (b"payments", FEWEST_FILES)
