"""Published checkpoints: unusual formats are read, and for other files, errors state what these really are."""

import gzip
import io
import json
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from megbench.core.errors import BenchError, clause, plural
from megbench.core.files.kinds import kind_of
from megbench.core.files.wrong_file import why_not_weights
from megbench.core.weights import external_weights
from megbench.core.weights.network_weights import load_networks, load_vgg19, network_names, read_card, read_weights
from megbench.core.weights.pickled import networks_in
from megbench.core.weights.published_checkpoints import Layout, import_checkpoint
from megbench.core.weights.state_dicts import in_words, manifest, misfits
from megbench.core.worker import answer, set_up
from megbench.training import resume

NETWORKS = ("generator", "kp_detector")


def tiny(width=3):
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))


STATES = {name: tiny(3 + number).state_dict() for number, name in enumerate(NETWORKS)}
LAYOUT = Layout({}, {name: manifest(state) for name, state in STATES.items()}, NETWORKS)


def prefixed(state, prefix):
    return {prefix + entry: value for entry, value in state.items()}


def flat(states):
    return {f"{name}.{entry}": value for name, state in states.items() for entry, value in state.items()}


def each(change):
    return {name: change(state) for name, state in STATES.items()}


def uncounted(state):
    return {entry: value for entry, value in state.items() if not entry.endswith("num_batches_tracked")}


def numpy_1(content):
    """Return a pickle with its NumPy scalars as NumPy 1 writes them."""
    return content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


ODD = {
    "module.": each(lambda state: prefixed(state, "module.")),
    "module.module.": each(lambda state: prefixed(state, "module.module.")),
    "compiled": each(lambda state: prefixed(state, "_orig_mod.")),
    "wrapped": {"state_dict": STATES, "epoch": 3},
    "wrapped twice": {"model": {"state_dict": STATES}},
    "each wrapped": each(lambda state: {"state_dict": state}),
    "named by what they are": {f"{name}_state_dict": state for name, state in STATES.items()},
    "flat": flat(STATES),
    "flat with an epoch": {**flat(STATES), "epoch": 3, "loss": torch.ones(())},
    "flat and wrapped": {"state_dict": flat(STATES), "hyper_parameters": {"lr": 1.0}},
    "flat, wrapped and parallel": {"model": prefixed(flat(STATES), "module.")},
    "flat with parallel networks": flat(each(lambda state: prefixed(state, "module."))),
    "Lightning": {"state_dict": prefixed(flat(STATES), "model."), "callbacks": {}},
    "half": each(lambda state: {k: v.half() if v.is_floating_point() else v for k, v in state.items()}),
    "all half": each(lambda state: {k: v.half() for k, v in state.items()}),
    "bfloat": each(lambda state: {k: v.bfloat16() for k, v in state.items()}),
    "double": each(lambda state: {k: v.double() if v.is_floating_point() else v for k, v in state.items()}),
    "old PyTorch": each(uncounted),
    "numpy scalars": {
        **STATES,
        "epoch": np.int64(9),
        "best": np.float64(0.5),
        "flag": np.bool_(True),
        "l": [np.float32(1)],
    },
    "averages alone": {"ema": STATES, "step": 3},
    "parameters": each(lambda state: {k: nn.Parameter(v, requires_grad=False) for k, v in state.items()}),
    "optimisers": {**STATES, "optimizer_generator": {"state": {0: {"step": torch.ones(())}}, "param_groups": []}},
}


@pytest.fixture
def here(monkeypatch):
    """Read checkpoints in this process instead of a separate reader process."""
    monkeypatch.setattr(
        "megbench.core.weights.published_checkpoints.work",
        lambda lanes, _: [answer(set_up(lanes[0].set_up), lanes[0].batches[0][0])],
    )


@pytest.mark.parametrize("old", [False, True], ids=["zip", "old format"])
@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_odd_ways_of_saving_are_read(tmp_path, here, content, old):
    path = tmp_path / "vox.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    import_checkpoint("fomm", path, [LAYOUT], tmp_path / "out.safetensors")
    for read in (read_weights(tmp_path / "out.safetensors"), read_weights(path)):
        for name, state in STATES.items():
            for entry, value in state.items():
                if value.is_floating_point():
                    torch.testing.assert_close(read[name][entry], value, rtol=2e-2, atol=1e-3)
    loaded = {name: tiny(3 + number) for number, name in enumerate(NETWORKS)}
    load_networks(path, loaded)
    torch.testing.assert_close(
        loaded["generator"][0].weight.detach(), STATES["generator"]["0.weight"], rtol=2e-2, atol=1e-3
    )
    assert set(NETWORKS) <= network_names(path)


def test_scalars_of_numpy_1_are_read(tmp_path):
    torch.save({**STATES, "epoch": np.int64(9)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "a.pth").write_bytes(numpy_1((tmp_path / "a.pth").read_bytes()))
    assert b"numpy.core" in (tmp_path / "a.pth").read_bytes()
    assert set(read_weights(tmp_path / "a.pth")) == set(NETWORKS)


def test_the_card_says_what_was_changed(tmp_path, here):
    torch.save(each(lambda state: {k: v.half() for k, v in uncounted(state).items()}), tmp_path / "a.pth")
    card = import_checkpoint("fomm", tmp_path / "a.pth", [LAYOUT], tmp_path / "out.safetensors")
    assert card["changed"] == [
        "float16 numbers are converted to float32",
        "missing counters (num_batches_tracked) are set to 0: 2",
    ]
    torch.save(STATES, tmp_path / "b.pth")
    assert import_checkpoint("fomm", tmp_path / "b.pth", [LAYOUT], tmp_path / "out.safetensors")["changed"] == []


def test_safetensors_are_told_by_their_content(tmp_path, here):
    torch.save(STATES, tmp_path / "a.pth")
    import_checkpoint("fomm", tmp_path / "a.pth", [LAYOUT], tmp_path / "out.safetensors")
    (tmp_path / "out.safetensors").rename(tmp_path / "b.pth")
    (tmp_path / "a.pth").rename(tmp_path / "a.safetensors")
    assert set(read_weights(tmp_path / "b.pth")) == set(read_weights(tmp_path / "a.safetensors")) == set(NETWORKS)
    assert network_names(tmp_path / "b.pth") == network_names(tmp_path / "a.safetensors") == set(NETWORKS)


@pytest.mark.parametrize("before", ["module.", "_orig_mod.module.", "model."])
def test_safetensors_have_their_prefixes_removed(tmp_path, here, before):
    path = tmp_path / "a.safetensors"
    save_file({entry: value.clone() for entry, value in prefixed(flat(STATES), before).items()}, path)
    assert network_names(path) == set(NETWORKS)
    import_checkpoint("fomm", path, [LAYOUT], tmp_path / "out.safetensors")
    for name, state in read_weights(tmp_path / "out.safetensors").items():
        assert all(torch.equal(value, STATES[name][entry]) for entry, value in state.items())


def test_one_bare_state_dict_stays_one(tmp_path):
    torch.save({"state_dict": prefixed(STATES["generator"], "module."), "epoch": 1}, tmp_path / "gen.pth")
    assert set(read_weights(tmp_path / "gen.pth")) == {""}
    load_networks(tmp_path / "gen.pth", {"gen": tiny()})


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(name, data=b"\x80\x02}."):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 728766739\n"
OTHERS = {
    "virus scan": (
        b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head></html>",
        r"a web page \('Google Drive - Virus scan warning'\).*Download the file itself",
    ),
    "page after a comment": (b"\n<!-- x -->\n<HTML lang='en'><body>quota exceeded</body>", "a web page"),
    "page with a mark": (b"\xef\xbb\xbf<html><title>Sign\n in</title>", r"a web page \('Sign in'\)"),
    "page with entities": (b"<html><title>MEGA &amp; more</title>", r"a web page \('MEGA & more'\)"),
    "zeros": (b"\0" * 5000, "filled with zeros.*Download it again"),
    "page in UTF-16": ("<html><title>Anmelden</title>".encode("utf-16"), "a web page"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', r"an XML or HTML reply \('AccessDenied'\)"),
    "JSON": (b'{"error": "rate limit exceeded"}', r"JSON \('rate limit exceeded'\)"),
    "words": ("404: Not Found, gélöscht".encode(), "a text file that begins with '404: Not Found"),
    "LFS pointer": (POINTER, r"a Git LFS pointer to a file of 728766739 bytes.*`git lfs pull`"),
    "empty": (b"", "an empty file. Download"),
    "gzip": (gzip.compress(b"x"), "a gzip archive. Unpack it"),
    "zip": (zipped(**{"a/vox.pth": b"x", "a/README": b""}), r"a zip archive \(with a/vox.pth, a/README\). Unpack"),
    "tar": (tarred("vox-cpk.pth"), r"a tar archive \(with vox-cpk.pth\). Unpack it"),
    "cut zip": (zipped(data=b"0" * 9000)[:5000], "truncated or damaged .it has 5000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "says"), OTHERS.values(), ids=OTHERS)
def test_what_is_no_checkpoint_is_named_wherever_it_is_read(tmp_path, here, monkeypatch, data, says):
    monkeypatch.setenv("MEGBENCH_WEIGHTS", str(tmp_path / "weights"))
    row = external_weights.FILES["vgg19"]
    kept = tmp_path / "weights" / row.file
    kept.parent.mkdir()
    pth, tensors, other = (tmp_path / name for name in ("vox.pth.tar", "fomm@vox.safetensors", "download"))
    for path in (pth, tensors, other, kept):
        path.write_bytes(data)
    places = [
        lambda: import_checkpoint("fomm", pth, [LAYOUT], tmp_path / "out.safetensors"),
        lambda: import_checkpoint("fomm", other, [LAYOUT], tmp_path / "out.safetensors"),
        lambda: load_networks(pth, {"generator": tiny()}),
        lambda: read_weights(tensors),
        lambda: network_names(tensors),
        lambda: external_weights.find("vgg19"),
        lambda: external_weights.add(other),
        lambda: external_weights.add(kept),
        lambda: load_vgg19(kept, tiny()),
    ]
    for read in places:
        with pytest.raises(BenchError, match=says) as error:
            read()
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_torchs_own_files_are_mistaken_for_nothing(tmp_path):
    for old in (False, True):
        torch.save(STATES, tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
        assert why_not_weights(tmp_path / "a.pth") == ""


class Unknown:
    pass


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("beside", [tiny(), Unknown(), np.zeros(3)], ids=["module", "object", "array"])
def test_what_would_run_code_is_refused_without_advice_to_run_it(tmp_path, beside, old):
    torch.save({**STATES, "beside": beside}, tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
    with pytest.raises(BenchError, match=r"contains Python objects \(\S+\).*Save only state dicts") as error:
        read_weights(tmp_path / "a.pth")
    said = str(error.value)
    assert not any(word in said for word in ("weights_only", "trust", "add_safe_globals", "\x1b", "\n"))


@pytest.mark.parametrize("old", [False, True])
def test_cut_files_are_told_at_every_length(tmp_path, old):
    torch.save(STATES, tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
    data = (tmp_path / "a.pth").read_bytes()
    for length in np.linspace(1, len(data) - 1, 25).astype(int):
        (tmp_path / "a.pth").write_bytes(data[:length])
        # If cut within a name, a file in the old format contains an object with half the name.
        with pytest.raises(BenchError, match=r"Download|contains Python objects") as error:
            read_weights(tmp_path / "a.pth")
        assert "weights_only" not in str(error.value)
        assert "\x1b" not in str(error.value)


def test_a_mismatch_names_both_sides_with_counts(tmp_path, here):
    states = {**STATES, "generator": {f"block{n}.weight": torch.ones(2) for n in range(7)}}
    torch.save(states, tmp_path / "a.pth")
    with pytest.raises(BenchError) as error:
        import_checkpoint("mraa", tmp_path / "a.pth", [LAYOUT], tmp_path / "out.safetensors")
    assert "missing: generator.0.weight, generator.0.bias, generator.1.weight and 3 more" in str(error.value)
    assert "unexpected: generator.block0.weight, generator.block1.weight, generator.block2.weight and 4 more" in str(
        error.value
    )


def test_the_method_whose_layout_it_has_is_named(tmp_path, here):
    torch.save(STATES, tmp_path / "a.pth")
    wanted = Layout({}, {"region_predictor": manifest(STATES["generator"])}, ("region_predictor",))
    with pytest.raises(BenchError, match=r"no network: 'region_predictor'.*It has the layout of fomm: .* import fomm"):
        import_checkpoint("mraa", tmp_path / "a.pth", [wanted], tmp_path / "o.safetensors", lambda: {"fomm": [LAYOUT]})


def test_infinite_numbers_are_named_with_the_file_they_are_in(tmp_path, here):
    spoilt = {entry: value.clone() for entry, value in STATES["generator"].items()}
    spoilt["0.bias"][1] = np.inf
    torch.save({**STATES, "generator": spoilt}, tmp_path / "a.pth")
    with pytest.raises(BenchError, match=r"a\.pth: the entry generator\.0\.bias contains NaN or .*[^.]\.$"):
        import_checkpoint("fomm", tmp_path / "a.pth", [LAYOUT], tmp_path / "out.safetensors")


def test_a_cut_safetensors_file_is_told_with_the_remedy(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({entry: value.clone() for entry, value in flat(STATES).items()}, path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BenchError, match=r"not a readable safetensors file .* Copy or download it again"):
        read_weights(path)


@pytest.mark.filterwarnings("error")
def test_other_programs_pickles_are_refused_without_torchs_warnings(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"generator": {"a": 1}}, protocol=4))
    with pytest.raises(BenchError, match=r"was not written by torch\.save"):
        read_weights(tmp_path / "a.pkl")


def test_entries_that_are_no_networks_are_named(tmp_path, here):
    torch.save({"step": 3, "args": {"lr": 0.1}}, tmp_path / "a.pth")
    with pytest.raises(
        BenchError, match=r"a\.pth contains no networks\. Its entries are: step, args\. Pass a checkpoint\."
    ):
        import_checkpoint("fomm", tmp_path / "a.pth", [LAYOUT], tmp_path / "out.safetensors")


def test_one_bare_network_is_described_by_its_entries(tmp_path, here):
    torch.save(STATES["generator"], tmp_path / "a.pth")
    says = r"no network: 'generator', 'kp_detector' \(it contains entries of an unnamed network: 0\.weight, 0\.bias, "
    with pytest.raises(BenchError, match=says):
        import_checkpoint("fomm", tmp_path / "a.pth", [LAYOUT], tmp_path / "out.safetensors")


def test_kernels_for_pictures_of_another_size_are_named(tmp_path, here):
    wanted = Layout({}, {"kp_detector": {"down.weight": ((3, 1, 13, 13), "float32")}}, ("kp_detector",))
    torch.save({"kp_detector": {"down.weight": torch.ones(3, 1, 29, 29)}}, tmp_path / "a.pth")
    says = r"kp_detector\.down\.weight \(3, 1, 29, 29\) instead of \(3, 1, 13, 13\).*pictures of a different size"
    with pytest.raises(BenchError, match=says):
        import_checkpoint("fomm", tmp_path / "a.pth", [wanted], tmp_path / "out.safetensors")


names = st.text("abm.", min_size=1, max_size=6)
contents = st.recursive(
    st.none() | st.integers() | st.just(torch.ones(1)),
    lambda inner: st.dictionaries(st.sampled_from([*NETWORKS, "state_dict", "model", "module.a", "w"]) | names, inner),
    max_leaves=8,
)


# Importing torch takes long on a busy machine.
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(names | st.integers(), contents))
def test_any_content_is_networks_of_tensors(content):
    for name, state in networks_in(content).items():
        assert isinstance(name, str)
        assert state
        assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_a_checkpoint_that_holds_itself_ends():
    content = {"x": 1}
    content["state_dict"] = content
    assert networks_in(content) == {}


@given(st.text(max_size=400), st.booleans())
def test_a_clause_is_clean_and_whole(text, escaped):
    error = ValueError(f"\x1b[1m{text}\x1b[0m" if escaped else text)
    said = clause(error)
    assert said.isprintable()
    assert said
    assert len(said) <= 220


def test_a_clause_ends_with_its_sentence_or_between_words():
    assert clause(OSError("This is no file of weights. Use allow_pickle=True.")) == "This is no file of weights"
    assert clause(ValueError("Error tokenizing data. C error: saw 5.\n")) == "Error tokenizing data. C error: saw 5"
    assert clause(ValueError("one\ntwo\x1b[31m three\x07")) == "one two three"
    assert clause(KeyError("x")) == "KeyError: 'x'"
    assert clause(EOFError()) == "EOFError"
    long = clause(ValueError("word " * 100))
    assert long.endswith("word ...")
    assert clause(ValueError("in version 1.2.3 of e.g. torch it fails")) == "in version 1.2.3 of e.g. torch it fails"
    assert clause(ValueError("x" * 5000)) == "ValueError"


def test_a_noun_agrees_with_its_count():
    assert [plural(count, "cell") for count in (0, 1, 2)] == ["0 cells", "1 cell", "2 cells"]


def test_words_for_a_fit_are_none():
    assert in_words(misfits(manifest(STATES["generator"]), manifest(STATES["generator"]))) == ""


def test_a_file_that_a_browser_unpacked_is_told(tmp_path, here):
    (tmp_path / "vox.pth" / "archive").mkdir(parents=True)
    with pytest.raises(BenchError, match=r"vox\.pth is a folder\. Pass a file in it"):
        import_checkpoint("fomm", tmp_path / "vox.pth", [LAYOUT], tmp_path / "out.safetensors")
    (tmp_path / "vox.pth" / "archive" / "data.pkl").write_bytes(b"x")
    with pytest.raises(BenchError, match=r"unpacked into a folder\. Download it again"):
        import_checkpoint("fomm", tmp_path / "vox.pth", [LAYOUT], tmp_path / "out.safetensors")


def test_a_card_that_is_a_pointer_is_told(tmp_path):
    (tmp_path / "fomm@x.json").write_bytes(POINTER)
    with pytest.raises(
        BenchError, match=r"the card of fomm@x\.safetensors, cannot be read.*Git LFS pointer.*git lfs pull"
    ):
        read_card(tmp_path / "fomm@x.safetensors")
    (tmp_path / "fomm@x.json").write_bytes(b'{"a": ')
    with pytest.raises(BenchError, match="Expecting value"):
        read_card(tmp_path / "fomm@x.safetensors")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and no more", b"\x80\x02 and no more"])
def test_a_damaged_checkpoint_of_a_training_is_one_line(tmp_path, data):
    (tmp_path / "last.pt").write_bytes(data)
    with pytest.raises(BenchError, match=r"last\.pt is .*Delete it to start again"):
        resume.read(tmp_path / "last.pt", torch.device("cpu"))


def test_json_cards_are_no_checkpoints(tmp_path):
    (tmp_path / "fomm.json").write_text(json.dumps({"method": "fomm"}))
    assert "JSON" in why_not_weights(tmp_path / "fomm.json")
    (tmp_path / "p0.pth").write_bytes(pickle.dumps({"a": 1}, protocol=0))
    assert why_not_weights(tmp_path / "p0.pth")


def test_a_long_row_of_comments_is_recognised_at_once():
    """Each comment may also begin a longer one, so the number of ways to divide the text doubles with each comment."""
    assert kind_of(b"<!-- -->" * 400) == ""
    assert kind_of(b"<!-- -->\n" * 400 + b"<html>") == "a web page"


def test_text_in_utf_32_is_named_but_a_video_that_begins_with_zeros_is_not():
    for text in ("a,b\n", "Übung"):
        for encoding in ("utf-32", "utf-32-le", "utf-32-be"):
            assert kind_of(text.encode(encoding)) == "text in UTF-32 instead of UTF-8"
    assert kind_of(b"G" + bytes(187)) == "", "the first packet of an MPEG transport stream"
