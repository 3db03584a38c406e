"""Captions: what people would write for a look. Synonyms, partial captions, British and American spelling."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.studio.training.nouns import ASSEMBLY_NOUNS, GENERIC_NOUNS, NOUNS

Random = np.random.Generator
Words = dict[str, str | None]
Strangers = dict[str, tuple[str, ...]]  # `slot:key` to words outside the grammar that mean it
STRANGE = 0.1  # how often such a word stands for the grammar's own

FINISHES: dict[str | None, tuple[str, ...]] = {
    "brushed": ("brushed {}", "brushed {}", "{} with a brushed finish", "satin brushed {}", "{}, brushed"),
    "polished": ("polished {}", "polished {}", "mirror-polished {}", "shiny {}", "mirror finish {}"),
    "machined": ("machined {}", "as-machined {}", "CNC machined {}", "milled {}", "turned {}"),
    "blasted": ("bead-blasted {}", "sandblasted {}", "matte {}", "satin {}"),
    "matte": ("matte {}", "{} with a matte finish", "flat {}"),
    "glossy": ("glossy {}", "shiny {}", "{} with a glossy finish"),
    "plain": ("{}",),
    None: ("{}",),
}
MATERIALS: dict[str, tuple[str, ...]] = {
    "aluminium": ("aluminium", "aluminium", "aluminum", "aluminium 6082", "aluminum 6061", "alloy"),
    "steel": ("steel", "stainless steel", "steel", "inox", "carbon steel"),
    "brass": ("brass",),
    "copper": ("copper",),
    "bronze": ("bronze", "bearing bronze"),
    "titanium": ("titanium", "grey titanium"),
    "chrome": ("chrome", "chrome-plated steel", "chromed metal", "mirror chrome"),
    "gold": ("gold", "gold-plated metal"),
    "cast_iron": ("cast iron", "grey cast iron", "rough cast iron", "gray iron"),
    "rust": ("rusted steel", "rusty iron", "corroded steel", "rusty metal", "rust"),
    "galvanised": ("galvanised steel", "galvanized steel", "zinc-plated steel"),
    "rubber": ("black rubber", "rubber"),
    "silver": ("silver", "sterling silver", "silver-plated metal"),
    "black_oxide": ("black oxide steel", "blackened steel", "burnished steel"),
    "cast_aluminium": ("cast aluminium", "cast aluminum", "die-cast aluminium", "sand-cast aluminium"),
    "ceramic": ("white ceramic", "ceramic", "porcelain"),
    "wood": ("wood", "oak", "beech wood", "light wood", "wooden"),
    "walnut": ("walnut", "dark wood", "walnut wood", "stained wood"),
    "carbon": ("carbon fibre", "carbon fiber", "carbon", "carbon composite"),
    "nickel": ("nickel", "nickel-plated brass", "electroless nickel"),
    "gunmetal": ("gunmetal", "gunmetal steel", "dark gunmetal"),
    "yellow_zinc": ("yellow zinc", "yellow passivated zinc", "yellow chromate zinc"),
}
COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("red", "red", "bright red", "crimson", "scarlet", "signal red"),
    "blue": ("blue", "blue", "royal blue", "cobalt blue"),
    "green": ("green", "green", "emerald", "machine green"),
    "yellow": ("yellow", "yellow", "safety yellow", "golden yellow"),
    "orange": ("orange", "orange", "bright orange", "tangerine"),
    "white": ("white", "white", "pure white", "off-white"),
    "black": ("black", "black", "jet black", "deep black"),
    "grey": ("grey", "gray", "mid grey", "ash grey"),
    "purple": ("purple", "purple", "violet"),
    "turquoise": ("turquoise", "teal", "cyan", "turquoise"),
    "navy": ("navy", "dark blue", "navy blue"),
    "pink": ("pink", "pink", "rose"),
    "gold": ("gold", "golden"),
}
COATS: dict[str, tuple[str, ...]] = {
    "anodised": (
        "{} anodised",
        "{} anodized",
        "{} anodised aluminium",
        "{} anodized aluminum",
        "anodised {}",
    ),
    "powder": (
        "{} powder coat",
        "{} powder coat",
        "{} powder-coated",
        "{} powder coated steel",
        "powder coat {}",
    ),
    "paint": ("glossy {} paint", "{} painted", "{} lacquer", "shiny {} paint", "painted {}", "{} enamel"),
    "plastic": ("{} plastic", "{} plastic", "{} ABS plastic", "{} nylon", "{} polymer"),
    "translucent": (
        "translucent {} plastic",
        "translucent {} plastic",
        "frosted {} acrylic",
        "see-through {} resin",
        "{} translucent plastic",
    ),
}
LIGHTS: dict[str, tuple[str, ...]] = {
    "studio": ("studio light", "studio light", "studio lighting", "softbox lighting", "product photo"),
    "soft": ("soft light", "soft diffuse light", "overcast light", "even lighting"),
    "sun": ("hard sunlight", "direct sun", "sunlight", "sunlight with hard shadows", "outdoor light"),
    "dramatic": ("dramatic light", "dramatic lighting", "rim light", "moody dark lighting", "low-key light"),
    "warm": ("warm light", "warm workshop light", "tungsten light", "golden light"),
    "cool": ("cool light", "cold light", "cool daylight", "bluish light"),
    "overhead": ("overhead light", "top light", "light from above"),
    "window": ("window light", "side light", "light from the left"),
}
FLOORS: dict[str, tuple[str, ...]] = {
    "white": ("white background", "white background", "on white", "pure white background"),
    "light_grey": ("light grey background", "grey background", "gray background", "light gray backdrop"),
    "dark_grey": ("dark grey background", "charcoal background", "dark gray background"),
    "black": ("black background", "on black", "pitch black background"),
    "wood": ("on a wooden bench", "on a wooden table", "wood background", "on wood", "wooden background"),
    "concrete": ("on a concrete floor", "on concrete", "concrete background"),
    "dark_wood": ("on dark wood", "on a walnut table", "dark wood background", "on a dark wooden bench"),
    "marble": ("on marble", "marble background", "on a marble slab"),
    "blue": ("blue background", "on a blue surface", "blue backdrop"),
    "beige": ("beige background", "sand-coloured background", "cream background"),
    "green": ("green background", "on a green mat", "on a green cutting mat"),
    "steel_table": ("on a steel table", "on a metal bench", "steel table background"),
}
# What a caption means when it does not say so, and how often it then does not.
UNSAID = {"light": "studio", "floor": "white"}
LEFT_OUT = 0.35
ASSEMBLED = 0.15  # share of assemblies among random words
OPENINGS = ("photo of a ", "render of a ", "a ", "product render of a ")


def choose(rng: Random, options: tuple[str, ...]) -> str:
    """One of them."""
    return options[int(rng.integers(len(options)))]


def phrase(rng: Random, options: tuple[str, ...], strangers: tuple[str, ...] = ()) -> str:
    """One of the options; now and then a stranger, if there are any."""
    if strangers and rng.random() < STRANGE:
        return choose(rng, strangers)
    return choose(rng, options)


def material_phrase(words: Words, rng: Random, strangers: Strangers | None = None) -> str:
    """The surface in words: "brushed aluminum", "crimson powder coat"."""
    kind, finish, colour = str(words["kind"]), words["finish"], words["colour"]
    strange = strangers or {}
    if kind in COATS:
        tint = phrase(rng, COLOURS[str(colour)], strange.get(f"colour:{colour}", ()))
        coat = choose(rng, COATS[kind]).format(tint)
        return choose(rng, FINISHES[finish]).format(coat) if finish and rng.random() < 0.8 else coat
    material = phrase(rng, MATERIALS[kind], strange.get(f"kind:{kind}", ()))
    return choose(rng, FINISHES[finish]).format(material)


def caption(entry: dict[str, Any], rng: Random, strangers: Strangers | None = None) -> str:
    """A caption of a render's entry; now and then it leaves the noun out, and what is `UNSAID`.

    Only that: where any light or ground could be left unsaid, a prompt that is silent on them would get the
    mean of all, which is mud.
    """
    words: Words = entry["words"]
    strange = strangers or {}
    material, share = material_phrase(words, rng, strange), rng.random()
    own, fittings = ASSEMBLY_NOUNS.get(family := str(entry["family"]), (NOUNS.get(family, ()), ()))
    noun = choose(rng, own if rng.random() < 0.6 else GENERIC_NOUNS)
    if share < 0.42:
        subject = material
    elif share < 0.75:
        subject = f"{material} {noun}"
    else:
        subject = f"{noun}, {material}" if share < 0.9 else f"{noun} made of {material}"
    if rng.random() < 0.1 and share >= 0.42:
        subject = choose(rng, OPENINGS) + subject
    if fittings and "fitting_kind" in words:
        second = {name: words[f"fitting_{name}"] for name in ("kind", "finish", "colour")}
        joint = "{}, {}" if rng.random() < 0.25 else "{} with {}"
        subject = joint.format(subject, f"{material_phrase(second, rng, strange)} {choose(rng, fittings)}")
    said = [words[what] != usual or rng.random() > LEFT_OUT for what, usual in UNSAID.items()]
    names = [str(words["light"]), str(words["floor"])]
    extras = [phrase(rng, LIGHTS[names[0]], strange.get(f"light:{names[0]}", ()))] if said[0] else []
    extras += [phrase(rng, FLOORS[names[1]], strange.get(f"floor:{names[1]}", ()))] if said[1] else []
    if rng.random() < 0.2:
        extras.reverse()
    return ", ".join([subject, *extras])


def random_words(rng: Random) -> dict[str, Any]:
    """An entry that no picture shows: for training the text encoder on all that could be said."""
    from workers.studio.training.looks import (
        ANODISED,
        FITTING_KINDS,
        FLOORS,
        KINDS,
        LIGHTS,
        PAINTS,
        TRANSLUCENT,
        pick,
    )
    from workers.studio.training.looks import FINISHES as METAL_FINISHES

    kind = str(rng.choice(list(KINDS)))
    colours = {"anodised": ANODISED, "translucent": TRANSLUCENT}.get(kind, PAINTS)
    colour = str(rng.choice(list(colours))) if kind in COATS else None
    finish = str(rng.choice(METAL_FINISHES[kind])) if kind in METAL_FINISHES else None
    if kind == "plastic":
        finish = str(rng.choice(["matte", "glossy"]))
    words = {
        "kind": kind,
        "finish": finish,
        "colour": colour,
        "light": pick(rng, LIGHTS),
        "floor": pick(rng, FLOORS),
    }
    if rng.random() >= ASSEMBLED:
        return {"family": str(rng.choice(list(NOUNS))), "words": words}
    fitting = pick(rng, FITTING_KINDS)
    finish = str(rng.choice(METAL_FINISHES[fitting])) if fitting in METAL_FINISHES else None
    second = {"fitting_kind": fitting, "fitting_finish": finish, "fitting_colour": None}
    return {"family": str(rng.choice(list(ASSEMBLY_NOUNS))), "words": words | second}
