"""Scripts that are joined into one."""

import json
import subprocess
from pathlib import Path

import pytest

from chat.api.page_script import bare, join

BESIDE = {
    "js/main.js": (
        'import { add as plus, COUNT } from "./a/add.js";\n'
        'import {\n  name,\n  Thing,\n} from "./b.js";\n'
        'import "./b.js";\n'
        "const add = 1;\n"
        "globalThis.seen = [plus(add, COUNT), name, new Thing().of()];\n"
        'globalThis.later = () => import("./later/view.js");\n'
        "globalThis.own = import.meta.url;\n"
    ),
    "js/a/add.js": (
        '// @ts-check\n/**\n * A comment with `import x` and a "text".\n */\n'
        "export const COUNT = 2;\n"
        "export function add(one, other) {\n  return one + other; // stays\n}\n"
    ),
    "js/b.js": (
        'import { add } from "./a/add.js";\n'
        "let count = 0;\n"
        "export const name = `b ${add(3, 4)}`;\n"
        "export class Thing {\n  of() {\n    return (count += 1);\n  }\n}\n"
        "export const own = import.meta.url;\n"
        'export async function again() {\n  return (await import("./a/add.js")).COUNT;\n}\n'
    ),
    "js/later/view.js": (
        'import { Thing, own, again } from "../b.js";\n'
        'import { half } from "./half.js";\n'
        "export const count = new Thing().of();\n"
        'export const found = [own, half, await again(), (await import("../a/add.js")).COUNT];\n'
    ),
    "js/later/half.js": "export const half = 0.5;\n",
    "js/types.js": "export {};\n",
}


def test_joined_scripts_run_as_the_modules_would_and_each_module_once(tmp_path: Path) -> None:
    joined = join(BESIDE, "js/main.js")
    assert sorted(joined) == ["js/later/half.js", "js/later/view.js", "js/main.js"]
    for name, scripts in (("modules", BESIDE), ("joined", joined)):
        for path, text in scripts.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "run.js").write_text(
        'for (const name of ["modules", "joined"]) {\n  await import(`./${name}/js/main.js`);\n'
        "  const { count, found } = await later();\n"
        "  console.log(JSON.stringify([seen, own, count, found]).replaceAll(`/${name}/`, `/`));\n}\n"
    )
    done = subprocess.run(["node", str(tmp_path / "run.js")], capture_output=True, text=True, check=True)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said[0] == said[1]
    assert said[0][0] == [3, "b 7", 1]
    assert said[0][2] == 2  # the view that came later uses the same module


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ('import x from "./b.js";\n', "import x"),
        ('import * as b from "./b.js";\n', "import *"),
        ("export let count = 0;\n", "export let"),
        ("export default 1;\n", "export default"),
        ('export { name } from "./b.js";\n', "export {"),
        ("const name = './b.js';\nimport(name);\n", "import("),
        ('import { name } from "./main.js";\n', "which imports it too"),
    ],
)
def test_what_cannot_be_joined_is_refused(code: str, said: str) -> None:
    scripts = {"js/main.js": 'import "./c.js";\n', "js/c.js": code, "js/b.js": "export const name = 1;\n"}
    with pytest.raises(ValueError, match=r"^js/c\.js: ") as caught:
        join(scripts, "js/main.js")
    assert said in str(caught.value)


def test_only_types_and_comments_on_lines_of_their_own_are_taken_out() -> None:
    code = 'b = /** @type {import("./b.js").B} */ (a);\n  /* one\n two */\n  b; // c\n// d\n/* e */ f;\n'
    assert bare(code) == "b = (a);\nb; // c\n/* e */ f;\n"


def test_a_text_of_several_lines_keeps_its_indentation() -> None:
    code = "const a = `one\n  two`;\n  b;\n"
    assert bare(code) == code
