"""The messages of Git hosts about pushes that they refuse."""

from __future__ import annotations

import pytest

from steps.core.host_message import Named, is_about_content

PATH = b"staging/shop/ConfigMap/a.yaml"
FILE = f"clusterbackup/{PATH.decode()}"
OID = "1b98197d01aaa920b347f3723ad39eec0a3a8089"

GITHUB_SECRET = f"""\
error: GH013: Repository rule violations found for refs/heads/main.

- GITHUB PUSH PROTECTION
  —————————————————————————————————————————
    Resolve the following violations before pushing again

    - Push cannot contain secrets

     (?) Learn how to resolve a blocked push
     https://docs.github.com/code-security/secret-scanning/pushing-a-branch-blocked-by-push-protection

      —— GitHub Personal Access Token ——————————————————————
       locations:
         - commit: 5477a7dd26384ed3c8b3814ee677f755ad27a597
           path: {FILE}:34
"""
GITHUB_BLOB = f"""\
    - Push cannot contain secrets

      —— Hugging Face User Access Token ————————————————————
       locations:
         - blob id: {OID}
"""
CONTENT = {
    "GitHub, secret": GITHUB_SECRET,
    "GitHub, secret on two lines": GITHUB_SECRET.replace(":34", ":106,108"),
    "GitHub, blob": GITHUB_BLOB,
    "GitHub, size": f"error: File {FILE} is 123.00 MB; this exceeds GitHub's file size limit of 100.00 MB",
    "GitLab, secret": f"PUSH BLOCKED: Secrets detected in code changes\n-- {FILE}:2 A Token",
    "GitLab, secret with a bar": f"PUSH BLOCKED: Secrets detected in code changes\n-- {FILE}:1 | A Token",
    "GitLab, name": f'GitLab: File name {FILE} was prohibited by the pattern "ConfigMap".',
    "GitLab, size": f'GitLab: File "{FILE}" is larger than the allowed size of 1 MB. Use Git LFS.',
    "GitLab, blobs": (
        "GitLab: You are attempting to check in one or more blobs which exceed the 1.0MiB limit:\n\n"
        f"- {OID} (223 MiB)"
    ),
    "Gitea": f"branch main is protected from changing file {FILE}",
    "Azure DevOps": (
        "VS403654: The push was rejected because it contains one or more secrets.\n"
        f"  paths: /{FILE}(51,74-113) : SEC101/003 : GoogleApiKey"
    ),
}
OTHER = [
    "GitLab: You are not allowed to push code to protected branches on this project.",
    "error: GH013: Repository rule violations found.\n- Changes must be made through a pull request.",
    "error: GH006: Protected branch update failed for refs/heads/main.",
    "GitLab: Committer's email 'a@example.com' does not follow the pattern '@example.org$'",
    "Your push to this repository has been rejected because it would exceed storage limits.",
    "VS403702: one or more commits contain author email 'a@b' which does not match the policy",
    "",
]


@pytest.mark.parametrize("message", CONTENT.values(), ids=CONTENT.keys())
def test_message_about_content_names_the_file(message: str) -> None:
    assert is_about_content(message)
    named = Named(message, "clusterbackup/")
    assert named.has(PATH, OID)
    assert not named.has(PATH + b"x", OID[::-1])
    assert not named.has(PATH[:-1], OID[::-1])
    assert not named.has(b"staging/shop", OID[::-1])


@pytest.mark.parametrize("message", OTHER)
def test_message_about_the_branch_is_not_about_content(message: str) -> None:
    assert not is_about_content(message)
    assert not Named(message, "clusterbackup/").has(PATH, OID)


@pytest.mark.parametrize(
    "path", ["east/a b.yaml", "east/it's.yaml", "east/a:b/c(1).yaml", "east/ä.yaml", "east/a."]
)
@pytest.mark.parametrize("text", ["{}", "{}: too large", "'{}'", "refused {}.", "{}:7: token", "a {} b"])
def test_message_names_a_path_with_any_character(path: str, text: str) -> None:
    assert Named(text.format(f"clusterbackup/{path}"), "clusterbackup/").has(path.encode(), "")


def test_message_names_several_files() -> None:
    named = Named("refused: clusterbackup/east/a, clusterbackup/east/b", "clusterbackup/")
    assert [path for path in (b"east/a", b"east/b", b"east/c") if named.has(path, "")] == [
        b"east/a",
        b"east/b",
    ]


def test_ids_inside_longer_hashes_are_not_blob_ids() -> None:
    assert not Named(f"sha256:{OID}{OID[:24]}", "clusterbackup/").has(b"", OID)


def test_long_message_is_read_in_bounded_memory() -> None:
    line = f"clusterbackup/{': ' * 1000}\n"
    assert not Named(line * 1000, "clusterbackup/").has(PATH, OID)
