from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.repair.outline import grammars, patterns
from assay.repair.outline.read import LANGUAGES, language_of, outline
from assay.repair.outline.symbols import LARGEST

TEXTS = {
    "a.js": """
export default function alpha(a, b = 1) { return beta(a) }
module.exports = function zed() {}
class Quiz extends Base {
  #p = () => 1
  static s() {
    return this.t()
  }
}
var res = Object.create(x);
res.status = function status(code) { this.y() }
Cart.prototype.sum = async () => 3
const o = { m() {}, n: function () {}, p: () => 1 }
""",
    "a.ts": """
export const a = (x: number): string => { return '' }
abstract class Box<T> { private c = async () => 1; open(key: T): void {}; abstract y(): void }
namespace N { export function e() { function inner() {} } }
interface I { q(): void }
enum E { A }
""",
    "a.tsx": "export function View(props: P) { return <div>{props.a}</div> }\n",
    "a.go": """package a
func (s *Foo[T]) Bar(a int) error { return nil }
type Foo struct { a int }
type I interface { X() }
func G() {}
""",
    "a.rs": """impl<T> Show for Bar<T> { fn x(&self) -> u8 { y(1) } }
trait Q { fn d() {} }
mod m { pub(crate) fn z() {} }
struct S { a: u8 }
macro_rules! mm { () => {} }
""",
    "A.java": """class A<T> {
  A() {}
  int m(int a) throws X { return n(a); }
  interface I { default void q() {} }
  enum E { X; void p() {} }
}
""",
    "a.c": "static int *f(int a, char **b)\n{ return g(a); }\nstruct s { int a; };\n",
    "a.cpp": """namespace n {
template <class T> int Foo<T>::bar(int a) const { return 1; }
class A : B { A(); ~A() {} int x() { return 1; } bool operator<(const A &o) const { return true; } };
int *f() {}
}
""",
    "a.rb": "module M\n  class A::B < C\n    def x(a)\n      y(a)\n    end\n    def self.z?\n    end\n  end\nend\n",
    "a.php": "<?php\nclass B extends C {\n  public function d($e) { return f($e); }\n}\nfunction f() {}\n",
}
NAMES = {
    "a.js": "alpha exports Quiz Quiz.#p Quiz.s res.status Cart.sum m n p",
    "a.ts": "a Box Box.c Box.open N N.e N.e.inner I E",
    "a.tsx": "View",
    "a.go": "Foo.Bar Foo I G",
    "a.rs": "Bar Bar.x Q Q.d m m.z S mm",
    "A.java": "A A.A A.m A.I A.I.q A.E A.E.p",
    "a.c": "f s",
    "a.cpp": "n n.Foo.bar n.A n.A.~A n.A.x n.A.operator< n.f",
    "a.rb": "M M.A.B M.A.B.x M.A.B.z?",
    "a.php": "B B.d f",
}
PLAIN = """
export class Quiz extends Base {
  static async grade(answers: string[]): number {
    if (answers) {
      return this.count(answers)
    }
  }

  reset() {
  }
}

export const twice = (x) => {
  return x * 2
}

res.status = function status(code) {
  return code
}
"""


@pytest.mark.parametrize("path", TEXTS)
def test_grammars_find_what_a_person_would_name(path: str) -> None:
    found = outline(path, TEXTS[path])
    assert found.how == "grammar"
    assert " ".join(symbol.full for symbol in found.symbols) == NAMES[path]


def test_a_symbol_says_where_it_is_and_what_it_uses() -> None:
    bar = outline("a.go", TEXTS["a.go"]).symbols[0]
    assert (bar.name, bar.kind, bar.container, bar.start, bar.end) == ("Bar", "method", "Foo", 2, 2)
    assert bar.signature == "func (s *Foo[T]) Bar(a int) error"
    x = outline("a.rb", TEXTS["a.rb"]).symbols[2]
    assert (x.start, x.end, x.signature, "y" in x.uses) == (3, 5, "def x(a)", True)


def test_python_is_read_by_its_own_parser() -> None:
    text = "@d\ndef f(\n    a,\n):\n    g(a)\n\nclass A:\n    if x:\n        async def m(self): ...\n"
    found = outline("a.py", text)
    assert found.how == "tree"
    assert [(symbol.full, symbol.kind, symbol.start, symbol.end) for symbol in found.symbols] == [
        ("f", "function", 1, 5),
        ("A", "type", 7, 9),
        ("A.m", "method", 9, 9),
    ]
    assert (found.symbols[0].signature, found.symbols[0].uses) == ("def f( a, ):", ("g", "a"))


def test_without_the_grammars_patterns_do_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter_typescript", None)
    grammars.reader.cache_clear()
    found = outline("a.ts", PLAIN)
    grammars.reader.cache_clear()
    assert found.how == "patterns"
    assert [(symbol.full, symbol.kind, symbol.start, symbol.end) for symbol in found.symbols] == [
        ("Quiz", "type", 2, 11),
        ("Quiz.grade", "method", 3, 7),
        ("Quiz.reset", "method", 9, 10),
        ("twice", "function", 13, 15),
        ("res.status", "method", 17, 19),
    ]


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        ("a.go", "func (s *Foo) Bar(a int) error {\n\treturn nil\n}\n\ntype T struct {\n\ta int\n}\n", "Foo.Bar T"),
        ("a.rs", "impl Show for Bar {\n    pub fn x(&self) -> u8 {\n        1\n    }\n}\n", "Bar Bar.x"),
        ("A.java", "public class A {\n    int m(int a) {\n        return n(a);\n    }\n    int k;\n}\n", "A A.m"),
        ("a.c", "static int *f(int a)\n{\n    if (a) {\n        g(a);\n    }\n    return 0;\n}\nint h(int a);\n", "f"),
        ("a.rb", "class A\n  def x?\n    1\n  end\nend\n", "A A.x?"),
        ("a.php", "<?php\nclass B {\n    public function d($e) {\n        return 1;\n    }\n}\n", "B B.d"),
    ],
)
def test_patterns_know_the_usual_layout(path: str, text: str, names: str) -> None:
    assert " ".join(symbol.full for symbol in patterns.symbols_of(language_of(path), text)) == names


def test_minified_huge_broken_and_unknown_files_hold_nothing() -> None:
    function = "function a(){return 1};"
    assert outline("a.js", function * 2_000).how == "none"
    assert outline("a.js", f"{function}\n" * (LARGEST // len(function))).how == "none"
    assert outline("a.py", "def f(:\n").how == "none"
    assert outline("README", "def f(): pass") == outline("a.txt", "def f(): pass")


def test_what_is_broken_in_other_languages_is_read_as_far_as_it_goes() -> None:
    text = "function fine() { return 1 }\nfunction broken( { \nclass A { ok() {} }\n"
    assert "fine" in [symbol.name for symbol in outline("a.js", text).symbols]


def test_deep_nesting_is_survived() -> None:
    outline("a.js", "function f() {\n" * 3_000)
    outline("a.js", "(" * 20_000)
    outline("a.py", "(" * 20_000)


def test_lines_are_counted_as_editors_do() -> None:
    text = "/* ünïcödé 漢字 */\nfunction straße() {\n  return '\u2028'\n}\n"
    (symbol,) = outline("a.js", text).symbols
    assert (symbol.name, symbol.start, symbol.end) == ("straße", 2, 4)


@given(st.sampled_from(sorted(LANGUAGES)), st.text(max_size=300))
def test_any_text_is_survived(ending: str, text: str) -> None:
    lines = len(text.splitlines()) + 1
    assert all(1 <= s.start <= s.end <= lines for s in outline(f"a.{ending}", text).symbols)
    if language_of(f"a.{ending}") != "python":
        patterns.symbols_of(language_of(f"a.{ending}"), text)


@given(st.sampled_from(sorted(TEXTS)), st.integers(0, 200), st.text(max_size=5), st.integers(0, 5))
def test_code_with_a_piece_torn_out_is_survived(path: str, at: int, piece: str, gone: int) -> None:
    text = TEXTS[path]
    torn = text[:at] + piece + text[at + gone :]
    outline(path, torn)
    patterns.symbols_of(language_of(path), torn)
