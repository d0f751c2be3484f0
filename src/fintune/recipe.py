"""The one typed settings file. Every default and its unit is stated here and nowhere else.

A recipe is YAML; unknown keys are refused with the nearest name, `--set train.learning_rate=1e-3` overrides any key,
and the resolved copy is kept in the run. `fintune show ner-minilm` prints one, `fintune show --schema` the JSON Schema.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fintune.errors import RecipeError, did_you_mean

BUNDLED = Path(__file__).parent / "recipes"

Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of every part: immutable, and closed to keys it does not name."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Model(Section):
    """Which pretrained weights, and how they are held."""

    base: str = "minilm"
    """Name in the catalog (`fintune models`), a hub id, or a local folder."""
    revision: str | None = None
    """Commit of a hub id; the catalog's own where null."""
    dropout: Share | None = None
    """Probability of the base model's own dropout layers during training; the base model's setting where null."""
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    """How the frozen weights are held; `auto` is bf16 on a GPU for a generative head, else fp32. What is trained is fp32."""
    quantisation: Literal["none", "8bit", "4bit"] = "none"
    """Frozen weights in 8 bits, or in 4 (NF4, QLoRA, Dettmers et al. 2023); needs a GPU and bitsandbytes. Saves memory, not time."""


class Adapter(Section):
    """The trainable low-rank part (LoRA, Hu et al. 2021), through peft."""

    method: Literal["lora", "dora"] = "lora"
    """`dora` also learns the magnitude of each weight column (Liu et al. 2024)."""
    rank: int = Field(default=8, ge=1, le=1024)
    """Rank r of the update B A."""
    alpha: float = Field(default=16.0, gt=0)
    """Numerator of the scale."""
    scale: Literal["plain", "rank-stabilised"] = "plain"
    """`plain` multiplies the update by alpha / r, `rank-stabilised` by alpha / sqrt(r) (Kalajdzievski 2023)."""
    dropout: Share = 0.0
    """Probability of dropping an input of the adapter during training."""
    targets: Literal["attention", "all-linear"] | list[str] = "all-linear"
    """Which linear layers: a group, or module names, each of which must match."""
    initialisation: Literal["default", "pissa", "olora"] = "default"
    """Where the factors start: B = 0, principal singular vectors (Meng et al. 2024), or QR (Büyükakyüz 2024)."""


class Head(Section):
    """How a prediction leaves the network."""

    type: Literal["token", "sequence", "span", "generative"] = "token"
    """`token`: one tag a word, decoded to spans; `sequence`: one score a label; `span`: an answer's first and last token; `generative`: the
    model writes the target text."""
    scheme: Literal["BIO", "BIOES"] = "BIO"
    """Tags of a word: begin, inside, outside (and end, single)."""
    transitions: Literal["fixed", "learned"] = "fixed"
    """`fixed`: best path over legal tag sequences; `learned`: the tag sequence is scored by a linear-chain CRF (Lafferty et al. 2001)."""
    surface: Literal["none", "shape"] = "none"
    """`shape` adds a learned embedding of each word's casing, digits, length and spacing, which an uncased vocabulary loses."""
    pooling: Literal["auto", "first", "mean", "last"] = "auto"
    """Of a sequence head, what speaks for the text: its first token through the base's own pooling, the mean of all tokens, or the
    last token of a model that reads in one direction; `auto` is `last` for such models, else `first`."""
    words_weight: float = Field(default=0.0, ge=0)
    """Of a sequence head, what the scores of a logistic regression on words and pairs of words count for beside the network's; 0: none."""
    dropout: Share = 0.1
    """Probability of dropping an input of the output layer during training."""


class Prompt(Section):
    """What a generative head reads and writes; other heads have no prompt."""

    file: str = "auto"
    """Name of a bundled prompt file, or the path of one; `auto` is that of the task's kind."""
    wording: Literal["fixed", "drawn"] = "fixed"
    """`fixed`: the task's own instruction; `drawn`: for each example one of the file's wordings, and at evaluation one held out."""
    labels: Literal["none", "names", "meanings"] = "none"
    """What the prompt says of the label set: nothing, the names, or the names with their meanings."""
    target: Literal["literal", "json", "compact"] = "literal"
    """How spans are written: the papers' Python literal, JSON, or `compact` JSON without blanks and labels that have no span."""
    demonstrations: int = Field(default=0, ge=0, le=32)
    """Solved examples shown before the question, taken from the training data, in training as in prediction."""
    choose: Literal["similar", "fixed"] = "similar"
    """Demonstrations most similar to each text (retrieval-augmented instruction tuning), or the same few for all."""
    template: str = "auto"
    """`own`: the model's chat template; `plain`: an instruction template for base models; `auto`: its own where it has one; or a file."""
    thinking: Literal["auto", "none", "empty", "reason"] = "auto"
    """`empty` answers after an empty think block, `reason` writes the reasoning first, `none` leaves the template as it is; `auto`
    is `empty` for models that think."""
    marker: str = ""
    """Text added at the end of the user's turn, such as ` /no_think`."""


class Data(Section):
    """How text becomes batches."""

    max_tokens: int = Field(default=256, ge=16)
    """Tokens of one window, special tokens included; longer texts are cut into windows and stitched."""
    overlap_tokens: int = Field(default=64, ge=0)
    """Tokens that neighbouring windows share."""
    words: Literal["auto", "fine", "coarse"] = "auto"
    """Units to tag: `fine` parts at every punctuation mark, `coarse` at blanks and outer marks, `auto` as the gold spans allow."""
    links: Literal["keep", "drop"] = "keep"
    """Web addresses, to a sequence head: read as they stand, or left out, where shortened ones say nothing and are half of a post."""
    too_long: Literal["refuse", "drop"] = "refuse"
    """Training conversations over `max_tokens`, of a generative head: refused with their ids, or left out, counted and named."""
    leaks: Literal["refuse", "accept"] = "refuse"
    """Training data whose texts give the gold away (findings D6 of `fintune check`): refused, or trained on with a line in the report."""


class Train(Section):
    """Optimisation."""

    epochs: int = Field(default=3, ge=1)
    """Passes over the training examples."""
    batch_size: int = Field(default=16, ge=1)
    """Examples of one optimizer step on all devices together."""
    accumulate: int = Field(default=1, ge=1)
    """Forward passes that one optimizer step is spread over; the gradient is the same for every value."""
    learning_rate: float = Field(default=5e-5, gt=0)
    """Peak learning rate of the adapter."""
    head_learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate of the head; the adapter's where null."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Course of the learning rate after warm-up."""
    warmup: Share = 0.1
    """Share of all steps over which the learning rate rises from 0."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled decay of AdamW (Loshchilov and Hutter 2019), per unit of learning rate."""
    clip: float | None = Field(default=1.0, gt=0)
    """Largest global gradient norm; null leaves gradients as they are."""
    label_smoothing: Share = 0.0
    """Share of the target probability that is spread over all tags (not with learned transitions)."""
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    """Of a sequence head: `focal` makes texts that are right already count less (Lin et al. 2017)."""
    focal_gamma: float = Field(default=2.0, ge=0)
    """Exponent of the focal loss; 0 is cross-entropy."""
    balance: Literal["none", "weights", "sampling"] = "none"
    """Of a sequence head, against uneven labels: `weights` lets each label count alike in the loss, `sampling` draws each alike often."""
    masking: Share = 0.0
    """Of a sequence head, probability of hiding a token of the text behind the encoder's mask token during training."""
    noise: Literal["none", "neftune", "uniform"] = "none"
    """Noise on embeddings: `neftune` is U(-1, 1) x noise_alpha / sqrt(tokens x width) of an example, `uniform` U(-1, 1) x noise_alpha."""
    noise_alpha: float = Field(default=5.0, ge=0)
    """Magnitude of the noise."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward pass; `auto` is bf16 where the processor has instructions for it, else fp32. Weights stay fp32."""
    keep: Literal["last", "best"] = "last"
    """Which weights the run ends with; `best` is by `metric` on the validation examples after each epoch."""
    metric: str = "auto"
    """Validation metric that `best` and `patience` go by; `auto` is the main one of the task's kind."""
    patience: int | None = Field(default=None, ge=1)
    """Epochs without improvement of `metric` after which training stops early; null trains to the end."""
    checkpoint_every: int | None = Field(default=None, ge=1)
    """Optimizer steps between checkpoints; one after each epoch where null."""
    sharing: Literal["prefix", "exact", "none"] = "prefix"
    """Of a generative head: `prefix` computes what all prompts of a pack begin with once; `exact` does so only where noise and dropout
    are drawn as without sharing, that is where there are none; `none` never."""
    pack_tokens: int = Field(default=16_384, ge=64)
    """Most tokens of one pack of a generative head; a larger step is cut into several packs, with the same gradient."""
    recompute: Literal["auto", "always", "never"] = "auto"
    """Activation checkpointing: less memory for half as much work again; `auto` where the estimate exceeds the GPU's memory."""
    kernels: Literal["auto", "none", "liger"] = "auto"
    """Fused kernels of liger-kernel on a GPU; `auto` where it is installed."""
    compile: Literal["none", "block"] = "none"
    """`block` compiles each decoder layer: faster steps after a slow first one."""


class Predict(Section):
    """Inference."""

    batch_tokens: int = Field(default=2048, ge=64)
    """Tokens of one inference batch, padding included."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward pass, as in training."""
    adapter: Literal["beside", "merged"] = "beside"
    """A finished run's adapter computes `beside` the base as in training, or is `merged` into its weights when they are read: about a
    fifth faster on a CPU, at other roundings. Not of a generative head, nor of weights held in less than fp32."""
    decoding: Literal["auto", "constrained", "free", "choices"] = "auto"
    """Of a generative head: `constrained` can write nothing but a valid target, with spans that stand in the text; `free` greedy text;
    `choices` the likelihood of each label. `auto`: choices for one label, constrained for spans and several
    labels, free for answers."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """Most tokens a generative head writes for one text; what the text could need where null."""
    answer_tokens: int = Field(default=64, ge=1)
    """Most tokens of the stretch that a span head answers with."""
    wanted_precision: float | None = Field(default=None, gt=0, lt=1)
    """Share of right labels to hold on validation examples: labels too uncertain for it go to a review queue; all stand where null."""


class Cost(Section):
    """What the machine costs; nothing of it influences a run."""

    hourly_rate: float | None = Field(default=None, ge=0)
    """Price of an hour of the whole machine, from which the price of the run and of 1,000 texts follows; no price where null."""
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    """Currency of `hourly_rate`, three letters (ISO 4217)."""


class Source(Section):
    """The published system that a recipe reproduces; nothing of it influences a run."""

    title: str = ""
    """The paper or model card."""
    url: str = ""
    """Where it is."""
    claims: dict[str, float] = Field(default_factory=dict)
    """Published scores by metric; they are its authors', not measured here."""
    notes: tuple[str, ...] = ()
    """What the source leaves open, and what this recipe takes for it."""


class Recipe(Section):
    """Everything that determines a run, apart from the data."""

    name: str
    """Name of the recipe."""
    description: str = ""
    """One line for people."""
    task: str
    """Name of a bundled task, or the path of a task's TOML file."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of initialisation, order, dropout and noise."""
    model: Model = Model()
    adapter: Adapter = Adapter()
    head: Head = Head()
    prompt: Prompt = Prompt()
    data: Data = Data()
    train: Train = Train()
    predict: Predict = Predict()
    cost: Cost = Cost()
    source: Source = Source()

    def settings(self) -> dict[str, Any]:
        """Every setting that influences the weights; `name`, `description`, `predict`, `cost` and `source` do not."""
        return self.model_dump(mode="json", exclude={"name", "description", "predict", "cost", "source"})

    def fingerprint(self) -> str:
        """sha256 over every setting that influences the weights."""
        settings = self.settings()
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def to_yaml(self, *, comments: bool = False) -> str:
        """The recipe as YAML with every value written out, on request with its description above each key."""
        if not comments:
            return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        return "\n".join(_commented(self, "")) + "\n"


def _commented(section: Section, indent: str) -> list[str]:
    lines = []
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            lines += ["", f"{indent}# {(type(value).__doc__ or '').splitlines()[0]}", f"{indent}{name}:", *_commented(value, indent + "  ")]
        else:
            lines += [f"{indent}# {' '.join(info.description.split())}"] if info.description else []
            lines.append(f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}")
    return lines


def available() -> list[str]:
    """Names of the bundled recipes."""
    return sorted(path.stem for path in BUNDLED.glob("*.yaml"))


def locate(name: str) -> Path:
    """The file of a bundled recipe or of a path; errors as of `file_of`."""
    return file_of(name, what="recipe", many="recipes", folder=BUNDLED, ending=".yaml", known=available())


def file_of(name: str, *, what: str, many: str, folder: Path, ending: str, known: Sequence[str]) -> Path:
    """The YAML file of a path, or of a bundled name: `name` and `ending` in `folder`.

    Raises:
        RecipeError: where neither exists; the nearest of the `known` names is proposed.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise RecipeError(f"no {what} file {name!r}", fix=f"bundled {many}: {', '.join(known)}")
        return path
    bundled = folder / f"{name}{ending}"
    if "/" in name or not bundled.is_file():
        raise RecipeError(f"no {what} {name!r}", why=f"neither a bundled {what} nor a file", fix=did_you_mean(name, known))
    return bundled


def load(name: str | Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """The recipe of a bundled name or a YAML file, with `key.sub=value` overrides applied.

    Raises:
        RecipeError: for unreadable YAML, an unknown key, a value of the wrong type or out of range.
    """
    path = locate(str(name))
    settings, lines = _parse(_read(path), str(path))
    pairs = overrides.items() if isinstance(overrides, Mapping) else [_pair(item) for item in overrides]
    for key, value in pairs:
        _override(settings, key, value)
        lines = {name: place for name, place in lines.items() if not name.startswith(f"{key}.")} | {key: f"--set {key}"}
    return _validate(settings, lines, str(path))


def from_settings(settings: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from plain settings, as kept in a run folder."""
    return _validate(dict(settings), {}, where)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"not UTF-8 at byte {error.start}", where=str(path), fix="save the recipe as UTF-8") from None
    except OSError as error:
        raise RecipeError("cannot be read", where=str(path), why=error.strerror or str(error), fix="check its permissions") from None


def _parse(text: str, where: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings and, for each dotted key, the `file:line` where it stands."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        settings = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        problem = getattr(error, "problem", None) or str(error)
        raise RecipeError("not readable as YAML", where=place, why=str(problem), fix="mend the indentation or quoting there") from None
    if not isinstance(settings, dict):
        raise RecipeError("a recipe is a mapping of keys to values", where=where, fix="see 'fintune show ner-minilm'")
    lines: dict[str, str] = {}

    def walk(mapping: yaml.MappingNode, prefix: str) -> None:
        seen: set[str] = set()
        for key, value in mapping.value:
            name = prefix + str(key.value)
            place = f"{where}:{key.start_mark.line + 1}"
            if name in seen:
                raise RecipeError(f"key {name!r} is given twice", where=place, fix="keep one of them")
            seen.add(name)
            lines[name] = place
            if isinstance(value, yaml.MappingNode):
                walk(value, name + ".")

    if isinstance(node, yaml.MappingNode):
        walk(node, "")
    return settings, lines


def _pair(item: str) -> tuple[str, Any]:
    key, equals, value = item.partition("=")
    if not equals or not key:
        raise RecipeError(f"override {item!r} is not key=value", where="--set", fix="write e.g. --set train.epochs=5")
    try:
        return key.strip(), yaml.safe_load(value) if value else ""  # nothing is the empty text; null is written out
    except yaml.YAMLError:
        raise RecipeError(f"the value of override {item!r} is not readable", where="--set", fix="quote it") from None


def _override(settings: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    target = settings
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            raise RecipeError(f"{key!r}: {section!r} has no keys of its own", where=f"--set {key}", fix="see 'fintune show ner-minilm'")
    target[last] = value


def _validate(settings: dict[str, Any], lines: Mapping[str, str], where: str) -> Recipe:
    try:
        recipe = Recipe.model_validate(settings)
    except ValidationError as error:
        raise _first(error, lines, where) from None
    if recipe.head.transitions == "learned" and recipe.train.label_smoothing:
        raise RecipeError(
            "label_smoothing has no meaning with learned transitions", where=lines.get("train.label_smoothing", where),
            fix="set train.label_smoothing=0 or head.transitions=fixed",
        )  # fmt: skip
    if recipe.predict.adapter == "merged" and (recipe.head.type == "generative" or _coarse(recipe.model)):
        coarse = "weights in less than fp32 would lose what the adapter adds"
        raise RecipeError(
            "the adapter cannot be merged for prediction", where=lines.get("predict.adapter", where),
            why="a generative head needs the base as it was" if recipe.head.type == "generative" else coarse,
            fix="set predict.adapter=beside",
        )  # fmt: skip
    if recipe.data.overlap_tokens * 2 > recipe.data.max_tokens - 2:
        raise RecipeError(
            f"overlap_tokens {recipe.data.overlap_tokens} is more than half of a window of {recipe.data.max_tokens} tokens",
            where=lines.get("data.overlap_tokens", where), fix="lower data.overlap_tokens",
        )  # fmt: skip
    if recipe.train.batch_size % recipe.train.accumulate:
        raise RecipeError(
            f"batch_size {recipe.train.batch_size} is not a multiple of accumulate {recipe.train.accumulate}",
            where=lines.get("train.accumulate", where), fix="choose train.accumulate among the divisors of train.batch_size",
        )  # fmt: skip
    return recipe


def _coarse(model: Model) -> bool:
    return model.dtype == "bf16" or model.quantisation != "none"


def _first(error: ValidationError, lines: Mapping[str, str], where: str) -> RecipeError:
    """The first complaint of pydantic as a line of ours: the key, its place and the nearest key or the range."""
    complaint = error.errors()[0]
    location = [str(part) for part in complaint["loc"]]
    keys = [part for part in location if part not in ("list[str]",) and not part.startswith("literal[")]
    key = ".".join(keys)
    parents = {k: p for k, p in lines.items() if key.startswith(k + ".")}
    place = lines.get(key) or (parents[max(parents, key=len)] if parents else where)
    if complaint["type"] == "extra_forbidden":
        section: type[BaseModel] = Recipe
        for part in keys[:-1]:
            annotation = section.model_fields[part].annotation
            assert isinstance(annotation, type)
            section = annotation
        return RecipeError(f"unknown key {key!r}", where=place, fix=did_you_mean(keys[-1], section.model_fields))
    if complaint["type"] == "missing":
        return RecipeError(f"key {key!r} is missing", where=place, fix=f"add '{key}: ...'")
    return RecipeError(
        f"{key!r} cannot be {json.dumps(complaint['input'], default=str)}", where=place,
        why=complaint["msg"], fix="see 'fintune show --schema' for the values it takes",
    )  # fmt: skip


def schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
