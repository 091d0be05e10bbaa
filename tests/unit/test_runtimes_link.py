# SPDX-License-Identifier: Apache-2.0
"""Bundles and objects are checked before anything is linked; relinking is the same link."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebuild.errors import EdgebuildError
from edgebuild.host.store import Store
from edgebuild.runtimes import link, objects, relink, templates
from tests.unit import runtimes_helpers as helpers

CARD: dict[str, Any] = {
    "name": "kws",
    "inputs": [{"bytes": 490}, {"bytes": 4}],
    "outputs": [{"bytes": 12}],
}


def bundle(root: Path, card: dict[str, Any], *, with_object: bool = True) -> Path:
    root.mkdir(parents=True)
    (root / f"{card.get('name', 'x')}.json").write_text(json.dumps(card))
    if with_object:
        (root / f"{card.get('name', 'x')}.o").write_bytes(b"")
    return root


def test_a_bundle_gives_sizes_in_call_order(tmp_path: Path) -> None:
    read = link.read_bundle(bundle(tmp_path / "b", CARD))
    assert (read.name, read.inputs, read.outputs) == ("kws", (490, 4), (12,))


def no_description(root: Path) -> None:
    (root / "kws.json").unlink()


def two_descriptions(root: Path) -> None:
    (root / "other.json").write_text("{}")


def no_object(root: Path) -> None:
    (root / "kws.o").unlink()


def hostile_name(root: Path) -> None:
    (root / "kws.json").write_text(json.dumps(dict(CARD, name="x; system(")))


def not_json(root: Path) -> None:
    (root / "kws.json").write_text("{")


def no_sizes(root: Path) -> None:
    (root / "kws.json").write_text(json.dumps(dict(CARD, inputs=[{}])))


def no_tensors(root: Path) -> None:
    (root / "kws.json").write_text(json.dumps(dict(CARD, outputs=[])))


def negative_size(root: Path) -> None:
    (root / "kws.json").write_text(json.dumps(dict(CARD, outputs=[{"bytes": -1}])))


def too_deep(root: Path) -> None:
    (root / "kws.json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    "damage",
    [
        no_description,
        two_descriptions,
        no_object,
        hostile_name,
        not_json,
        no_sizes,
        no_tensors,
        negative_size,
        too_deep,
    ],
)
def test_e302_for_a_damaged_bundle(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    root = bundle(tmp_path / "b", CARD)
    damage(root)
    with pytest.raises(EdgebuildError) as caught:
        link.read_bundle(root)
    assert caught.value.kind.code == "E302"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "inputs", "outputs", "bytes"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(card=JSON)
def test_any_description_is_a_bundle_or_e302(
    tmp_path_factory: pytest.TempPathFactory, card: object
) -> None:
    root = tmp_path_factory.mktemp("b")
    (root / "x.json").write_text(json.dumps(card))
    (root / "x.o").write_bytes(b"")
    try:
        read = link.read_bundle(root)
    except EdgebuildError as error:
        assert error.kind.code == "E302"
    else:
        assert link.NAME.fullmatch(read.name)
        assert all(size >= 0 for size in (*read.inputs, *read.outputs))


def recipe_folder(root: Path, **changes: object) -> Path:
    root.mkdir(parents=True)
    recipe = objects.link_recipe(helpers.tools(root), []) | changes
    (root / "link.json").write_text(json.dumps(recipe))
    return root


def store(tmp_path: Path) -> Store:
    return Store(cache=tmp_path / "cache", offline=True)


def test_e303_for_two_models_of_one_name(tmp_path: Path) -> None:
    bundles = [bundle(tmp_path / name, CARD) for name in ("a", "b")]
    folder = recipe_folder(tmp_path / "objects")
    with pytest.raises(EdgebuildError) as caught:
        link.link(
            store(tmp_path), helpers.lock(), "arm64", folder, bundles, tmp_path / "c", tmp_path
        )
    assert caught.value.kind.code == "E303"
    assert "kws" in caught.value.message


@pytest.mark.parametrize("changes", [{"format": 99}, {"deb_arch": "amd64"}])
def test_e306_for_objects_of_another_kind(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(EdgebuildError) as caught:
        link.read_recipe(recipe_folder(tmp_path / "objects", **changes), "arm64")
    assert caught.value.kind.code == "E306"


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_e306_for_objects_without_a_recipe(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "link.json").write_text(text)
    with pytest.raises(EdgebuildError) as caught:
        link.read_recipe(tmp_path, "arm64")
    assert caught.value.kind.code == "E306"


def parts(tmp_path: Path) -> link.Parts:
    tools = helpers.fill_sysroot(tmp_path / "sysroot")
    made = [tmp_path / name for name in ("runtime.o", "models.o", "kws.o")]
    for path in made:
        path.write_bytes(path.name.encode())
    return link.Parts(tools=tools, recipe=objects.link_recipe(tools, []), objects=tuple(made))


def test_the_executable_is_static_hardened_and_without_traces(tmp_path: Path) -> None:
    argv = link.command(parts(tmp_path))
    for flag in ("-static", "-pie", "--strip-all", "--build-id=none", "noexecstack", "relro"):
        assert flag in argv
    start = [Path(word).name for word in argv if word.endswith("crt1.o")]
    assert start == ["rcrt1.o"]
    assert argv.index("--start-group") > max(
        index for index, word in enumerate(argv) if word.endswith("kws.o")
    )


def test_the_model_table_has_an_entry_for_each_model() -> None:
    models = [
        link.Bundle(name=name, object=Path("x"), inputs=(4, 8), outputs=(2,))
        for name in ("kws", "vww")
    ]
    text = templates.render("models.c.j2", models=models)
    assert "const int edge_model_count = 2;" in text
    assert "kws_inputs[] = {4, 8};" in text
    assert text.count(".run = edge_vww_run,") == 1
    assert "edge_model_count = 0;" in templates.render("models.c.j2", models=[])


def test_the_relink_archive_depends_on_its_content_alone(tmp_path: Path) -> None:
    made = parts(tmp_path)
    first = relink.archive(made, "gw.relink")
    for path in made.objects:
        path.touch()
        path.chmod(0o600)
    assert relink.archive(made, "gw.relink") == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        names = tar.getnames()
        assert names == [
            "gw.relink/runtime.o", "gw.relink/models.o", "gw.relink/kws.o", "gw.relink/relink.sh",
        ]  # fmt: skip
        assert tar.getmember("gw.relink/relink.sh").mode == 0o755
        assert all(entry.mtime == 0 for entry in tar.getmembers())


def test_the_script_takes_the_c_library_from_elsewhere(tmp_path: Path) -> None:
    text = relink.script(parts(tmp_path))
    assert '"$LIBC/libc.a"' in text
    assert '"$GCC/libgcc.a"' in text
    assert '"$GCC/crtendS.o"' in text
    assert str(tmp_path) not in text
