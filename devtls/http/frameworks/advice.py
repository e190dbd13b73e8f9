"""What does not work with a framework behind the proxy, and the setting that mends it, as one sentence.

Owns the wording, and which of several settings is meant: one problem (a name that Vite refuses) is mended in another
file by each framework that has Vite inside. A page that was seen before, or the project's own files, tell which; when
neither does, the sentence names all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

_SCRIPT_SUFFIXES = ("js", "ts", "mjs", "mts", "cjs", "cts")
"""How a configuration file that is a program may end; the two that a project is told to make come first."""

_PACKAGES = (
    ("nuxt", "Nuxt"),
    ("astro", "Astro"),
    ("@sveltejs/kit", "SvelteKit"),
    ("next", "Next.js"),
    ("storybook", "Storybook"),
    ("webpack-dev-server", "webpack-dev-server"),
    ("express", "Express"),
    ("vite", "Vite"),
)
"""npm's package -> framework, the more particular first: whoever has Nuxt may have Vite and Express beside it."""


class Project(msgspec.Struct, frozen=True):
    """The directory that an app runs in: its `files` (`tsconfig.json`, `.storybook/main.ts`), its npm `packages`."""

    files: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    secure_cookies: bool = False
    """Its source says `secure: true`."""

    @property
    def typescript(self) -> bool:
        """Whether its configuration is written in TypeScript."""
        return "tsconfig.json" in self.files or "typescript" in self.packages

    def frameworks(self) -> Iterable[str]:
        """Return the frameworks that it depends on, the more particular first."""
        return (framework for package, framework in _PACKAGES if package in self.packages)


class Remedy(msgspec.Struct, frozen=True):
    """A line for a file; `framework` when it is not the advice's own. `{host}` and its like are filled in."""

    file: str
    line: str
    framework: str = ""


class FrameworkAdvice(msgspec.Struct, frozen=True):
    """A problem that a framework has behind the proxy; its `settings` are alternatives, one for each framework."""

    framework: str
    problem: str
    settings: tuple[Remedy, ...]
    localhost_works: bool = False
    """The route's name below localhost needs no setting."""
    upstream_works: bool = False
    """`host = "upstream"` on the route needs no setting."""
    event: str = "framework"
    unknown: str = ""
    """The remedy when the framework is not known, "" = the advice is then not given; only with `particular`."""
    particular: bool = False
    """One setting at most is named: there are too many to list them all."""
    minor: bool = False
    """Nothing to say when one of its settings was advised already."""

    def meant(self, seen: str, project: Project | None) -> tuple[Remedy, ...]:
        """Return the settings that may help: one when the framework is known, () when the app is none of them."""
        known = (seen, *(() if project is None else project.frameworks()))
        for framework in known:
            for setting in self.settings:
                if (setting.framework or self.framework) == framework:
                    return (setting,)
        if self.particular:
            return ()
        if seen or (project is not None and project.packages):
            # The framework is known, and is none of the particular ones.
            return self.settings[:1]
        return self.settings


class FrameworkFinding(msgspec.Struct, frozen=True):
    """An advice for one response; `seen` is the framework that this or an earlier response showed, "" = none.

    `facts` fill the placeholders of the advice beside those of the name; `method` is the request's.
    """

    advice: FrameworkAdvice
    seen: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    method: str = "GET"


class Names(msgspec.Struct, frozen=True):
    """The name that was asked for; `hosts` are all names of its route, `zones` those to allow beside localhost.

    `https_port` is the one that people type; `works` is the route's other name with its port, "" = none to be offered.
    """

    host: str
    https_port: int
    hosts: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    works: str = ""


class Hint(msgspec.Struct, frozen=True):
    """An advice in words: the sentence that a person reads, and its (file, line) pairs for programs."""

    framework: str
    text: str
    settings: tuple[tuple[str, str], ...]


def hint(finding: FrameworkFinding, names: Names, project: Project | None) -> Hint | None:
    """Return the advice for a name, None when there is nothing to say."""
    advice = finding.advice
    meant = advice.meant(finding.seen, project)
    if not meant and not advice.unknown:
        return None
    framework = meant[0].framework or advice.framework if len(meant) == 1 else advice.framework
    facts = {**dict(finding.facts), **_facts(names)}
    settings = tuple((file_name(each.file, project), _fill(each.line, facts)) for each in meant)
    places = [f"{file}: {line}" for file, line in settings]
    remedy = f"Add to {places[0]}" if places else advice.unknown
    for each, place in zip(meant[1:], places[1:], strict=True):
        remedy += f"; with {each.framework}, to {place}"
    now = [f"https://{names.works}"] if advice.localhost_works and names.works else []
    if advice.upstream_works:
        now.append('`host = "upstream"` on the route')
    works = f" (works now without it: {', or '.join(now)})" if now else ""
    return Hint(framework, f"{framework} {_fill(advice.problem, facts)}. {remedy}{works}", settings)


def file_name(file: str, project: Project | None) -> str:
    """Return a configuration file as the project has it, or would; both spellings when the project is not known."""
    stem, _, suffix = file.rpartition(".")
    if suffix not in _SCRIPT_SUFFIXES:
        return file
    if project is None:
        return f"{file} (or .{'js' if suffix == 'ts' else 'ts'})"
    for each in (suffix, *_SCRIPT_SUFFIXES):
        if f"{stem}.{each}" in project.files:
            return f"{stem}.{each}"
    return f"{stem}.ts" if project.typescript else file


def _facts(names: Names) -> Mapping[str, str]:
    port = "" if names.https_port == 443 else f":{names.https_port}"
    return {
        "host": names.host,
        "port": str(names.https_port),
        "origin": f"https://{names.host}{port}",
        "hosts": "".join(f', "{host}"' for host in names.hosts),
        "zones": "".join(f', ".{zone}"' for zone in names.zones),
    }


def _fill(text: str, facts: Mapping[str, str]) -> str:
    # Not str.format: the lines are full of braces.
    for name, value in facts.items():
        text = text.replace(f"{{{name}}}", value)
    return text
