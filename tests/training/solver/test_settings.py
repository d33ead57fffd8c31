import pytest

from netc.diagnostics import NetcError
from netc.training.solver.lr_policy import Schedule
from netc.training.solver.settings import SolverSettings, read_settings
from netc.training.solver.settings_check import check_prefix

GOOD = 'net: "a.prototxt" base_lr: 0.5 lr_policy: "fixed"\n'


def faults(settings_from, text):
    with pytest.raises(NetcError) as caught:
        settings_from(text)
    return [(d.code, d.message, d.line) for d in caught.value.diagnostics]


def test_defaults_are_caffes(settings_from):
    settings = settings_from(GOOD)
    assert (settings.type, settings.solver_mode, settings.snapshot_format) == ("SGD", "GPU", "BINARYPROTO")
    assert settings.test_initialization
    assert settings.snapshot_after_train
    assert settings.momentum2 == pytest.approx(0.999)
    assert settings.delta == pytest.approx(1e-8)
    assert (settings.iter_size, settings.average_loss, settings.clip_gradients) == (1, 1, -1)


@pytest.mark.parametrize(
    ("old", "new"), [("NESTEROV", "Nesterov"), ("ADAGRAD", "AdaGrad"), ("RMSPROP", "RMSProp"), ("ADADELTA", "AdaDelta")]
)
def test_legacy_type(settings_from, old, new):
    assert settings_from(GOOD + f"solver_type: {old}").type == new


def test_lists_and_comma_separated_weights(settings_from):
    settings = settings_from(
        GOOD.replace("fixed", "multistep") + 'gamma: 0.1 stepvalue: 3 stepvalue: 7 weights: "a,b" weights: "c"'
    )
    assert settings.stepvalue == (3, 7)
    assert settings.weights == ("a", "b", "c")


def test_all_errors_are_reported_at_once(settings_from):
    text = 'lr_policy: "multstep"\nbase_lr: -1\ntype: "Adm"\nmomentum: 1.5\niter_size: 0\nregularization_type: "L3"'
    found = faults(settings_from, text)
    assert [(code, line) for code, _, line in found] == [
        ("E601", 1), ("E602", 1), ("E603", 2), ("E604", 3), ("E603", 4), ("E603", 5), ("E603", 6),
    ]  # fmt: skip
    messages = " ".join(message for _, message, _ in found)
    for part in ("does not specify a train net", "`multstep`", "`base_lr` is -1", "`Adm`", "`momentum` is 1.5", "`L3`"):
        assert part in messages


def test_an_unknown_enum_value_hides_no_other_error(settings_from):
    found = faults(settings_from, GOOD.replace("fixed", "multstep") + "solver_mode: GPPU snapshot_format: HDF5")
    assert [code for code, _, _ in found] == ["E602", "E008"]


def test_suggestions(settings_from):
    with pytest.raises(NetcError) as caught:
        settings_from(GOOD.replace("fixed", "multistp") + 'type: "adm"')
    assert [d.help for d in caught.value.diagnostics] == ["did you mean `multistep`?", "did you mean `Adam`?"]


@pytest.mark.parametrize(
    ("policy", "missing"),
    [
        ("step", "stepsize"),
        ("poly", "max_iter"),
        ("cosine", "max_iter"),
    ],
)
def test_a_policy_without_a_field_that_it_divides_by(settings_from, policy, missing):
    found = faults(settings_from, policy_without(policy, missing))
    assert found == [("E602", f"learning rate policy `{policy}` requires `{missing}`", 1)]


def policy_without(policy: str, missing: str) -> str:
    given = {"gamma": "0.5", "stepsize": "3", "power": "2", "stepvalue": "4", "max_iter": "9"}
    rest = " ".join(f"{name}: {value}" for name, value in given.items() if name != missing)
    return GOOD.replace("fixed", policy) + rest


@pytest.mark.parametrize(
    ("policy", "missing", "rates"),
    [
        ("step", "gamma", [1, 1, 1, 0, 0, 0]),
        ("exp", "gamma", [1, 0, 0]),
        ("inv", "gamma", [1, 1, 1]),
        ("inv", "power", [1, 1, 1]),
        ("multistep", "gamma", [1, 1, 1, 1, 0, 0]),
        ("multistep", "stepvalue", [1, 1, 1, 1, 1, 1]),
        ("poly", "power", [1, 1, 1]),
        ("sigmoid", "gamma", [0.5, 0.5, 0.5]),
    ],
)
def test_a_field_that_a_policy_lacks_is_0_as_in_caffe(settings_from, policy, missing, rates):
    settings = settings_from(policy_without(policy, missing).replace("base_lr: 0.5", "base_lr: 1"))
    (found,) = settings.warnings
    assert (found.code, found.message) == (
        "W602",
        f"learning rate policy `{policy}` uses `{missing}`, which is not set",
    )
    schedule = Schedule(settings)
    assert [schedule(iteration) for iteration in range(len(rates))] == rates
    assert settings.with_values(display=3).warnings == settings.warnings


def test_a_test_of_no_batches(settings_from):
    assert settings_from(GOOD + "test_iter: 0").test_iter == ()
    assert settings_from(GOOD + "test_iter: 0 test_interval: 5 test_state { }").test_state == ()
    assert settings_from(GOOD + "test_iter: 0 test_iter: 2 test_interval: 5").test_iter == (0, 2)
    own = GOOD + 'test_net: "b" test_iter: 0'
    assert settings_from(own).test_iter == (0,)
    without_net = GOOD.replace("net:", "train_net:")
    assert settings_from(without_net + "test_iter: 0").test_iter == ()
    assert settings_from(without_net + "test_iter: 100 test_interval: 0").test_iter == ()  # as C3D's files have it
    with pytest.raises(NetcError, match="for 0 test nets"):
        settings_from(without_net + "test_iter: 100 test_interval: 5")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("test_iter: 3", "`test_iter` requires `test_interval`"),
        ("test_interval: 2 test_iter: -1", "`test_iter` is -1: it must be 0 or more"),
        ('test_interval: 2 test_net: "b" test_net: "c" test_iter: 1', "`test_iter` has 1 value, for 2 test nets"),
        ("test_interval: 2 test_iter: 1 test_iter: 1 test_state { }", "1 value of `test_state` for 2 test nets"),
        ('train_net: "b"', "2 train nets: `net` and `train_net`"),
        ('type: "AdaGrad" momentum: 0.9', "solver type `AdaGrad` does not support `momentum`, which is 0.9"),
        ('type: "SGD" solver_type: SGD', "`type` or `solver_type`, not both"),
        ("base_lr: nan", "set twice"),
    ],
)
def test_one_error(settings_from, text, part):
    ((_, message, _),) = faults(settings_from, GOOD + text)
    assert part in message


def test_a_sigmoid_may_decrease(settings_from):
    """With a positive gamma it rises: Caffe's users set a negative one, and a step of 0 is its default."""
    text = GOOD.replace("fixed", "sigmoid") + "gamma: -0.5 stepsize: 0"
    assert settings_from(text).gamma == -0.5
    ((_, message, _),) = faults(settings_from, text.replace("sigmoid", "exp"))
    assert message == "`gamma` is -0.5: it must be 0 or more"


def test_separate_test_nets_need_one_test_iter_each(settings_from):
    text = 'train_net: "a" test_net: "b" base_lr: 1 lr_policy: "fixed" test_interval: 5 '
    assert settings_from(text + "test_iter: 3").test_net == ("b",)
    ((code, message, _),) = faults(settings_from, text + "test_iter: 3 test_iter: 4")
    assert (code, message) == ("E601", "`test_iter` has 2 values, for 1 test net")


def test_snapshot_prefix_as_caffe_completes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    file = tmp_path / "lenet.prototxt"
    for given, prefix in (("", "lenet"), ('snapshot_prefix: "out"', "out/lenet"), ('snapshot_prefix: "x"', "x")):
        file.write_text(GOOD + given)
        assert read_settings("lenet.prototxt").prefix == prefix


def test_a_missing_snapshot_folder(settings_from, tmp_path):
    check_prefix(settings_from(GOOD + f'snapshot_prefix: "{tmp_path}/net"'))
    with pytest.raises(NetcError, match="does not exist") as caught:
        check_prefix(settings_from(GOOD + f'snapshot_prefix: "{tmp_path}/none/net"'))
    assert (caught.value.diagnostics[0].code, caught.value.diagnostics[0].line) == ("E605", 2)


@pytest.mark.parametrize("length", [190, 206])
def test_names_of_snapshots_that_are_too_long(settings_from, length):
    """255 bytes less 48 for endings and 10 for `_iter_` and the number of a run of 1000 iterations: 197."""
    settings = settings_from(GOOD + f'snapshot_prefix: "{"p" * length}"').with_values(max_iter=1000)
    if length <= 197:
        return check_prefix(settings)
    with pytest.raises(NetcError, match="names of snapshots would have up to 264 bytes, more than the 255"):
        check_prefix(settings)
    return None


def test_other_values_and_states(settings_from):
    settings = settings_from(GOOD + 'train_state { level: 2 stage: "a" }')
    assert settings.with_values(max_iter=5).max_iter == 5
    assert settings.with_values(max_iter=5).fields["max_iter"] == 5
    state = settings.with_state(3, ("b",)).train_state
    assert (state["level"], tuple(state["stage"])) == (3, ("a", "b"))
    assert settings.with_state() is settings
    with pytest.raises(NetcError, match="unknown solver type"):
        settings.with_values(type="None")


def test_a_solver_created_in_python():
    assert SolverSettings(net="a", base_lr=1, lr_policy="fixed").prefix == "solver"


def test_a_misspelled_field_stops_training_unless_lenient(tmp_path):
    file = tmp_path / "solver.prototxt"
    file.write_text(GOOD + "weigth_decay: 0.01 nothing_alike_xyz: 1")
    with pytest.raises(NetcError, match="unknown field `weigth_decay`") as caught:
        read_settings(file)
    (found,) = caught.value.diagnostics
    assert (found.code, found.severity, found.help) == ("W001", "error", "did you mean `weight_decay`?")
    settings = read_settings(file, lenient=True)
    assert [d.code for d in settings.warnings] == ["W001", "W001"]
    assert settings.weight_decay == 0
