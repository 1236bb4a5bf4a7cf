// The layers of ARCHITECTURE.md, and what the check of them finds.
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { findings, layersOf, projectFindings } from "../../scripts/arrows.mjs";

const LAYERS = [["api"], ["left", "right"], ["base"]];

/** Files that follow the layers, but for what a test puts in their place. */
function findingsWith(files: Record<string, string>): string[] {
  const sources = {
    "lib.rs": "mod api;\nmod base;\npub mod left;\nmod right;\n",
    "api.rs": "use crate::left::Left;\nuse crate::right;\n",
    "left/mod.rs": "mod inner;\nmod outer;\n\npub use inner::Left;\npub use outer::Outer;\n",
    "left/inner.rs": "pub struct Left;\n",
    "left/outer.rs": "use super::Left;\n",
    "right.rs": "use crate::base::{self, Base};\n",
    "base.rs": "pub struct Base;\n",
    ...files,
  };
  return findings(LAYERS, new Map(Object.entries(sources)));
}

test("the project's files follow its layers", () => {
  assert.deepEqual(projectFindings(), []);
});

test("layers are the first columns of the lines of the first code block", () => {
  const markdown = "words\n\n```\napi       what callers see\nleft  right   two of them\n          more of it\nbase\n```\n\n```\nother\n```\n";
  assert.deepEqual(layersOf(markdown), LAYERS);
});

test("files that follow the layers are left alone", () => {
  assert.deepEqual(findingsWith({}), []);
});

describe("an arrow that does not point down is found", () => {
  const upward = ["base.rs uses left, which is not below base"];
  for (const [form, source] of Object.entries({
    "in a use": "use crate::left::Left;\n",
    "in braces": "use std::fmt;\nuse crate::{\n    left::{Left as Other, Outer},\n};\n",
    "through super": "use super::left::Left;\n",
    "in a path": "fn f(left: crate::left::Left) {}\n",
    "passed on": "pub use crate::left::Left;\nfn f(left: Left) {}\n",
    "after code of tests": "#[cfg(test)]\nmod tests { use super::*; }\n\nfn f(left: crate::left::Left) {}\n",
  })) {
    test(form, () => assert.deepEqual(findingsWith({ "base.rs": source }), upward));
  }

  test("to the side", () => {
    assert.deepEqual(findingsWith({ "right.rs": "use crate::left::Left;\n" }), ["right.rs uses left, which is not below right"]);
  });
});

describe("what is no arrow", () => {
  for (const [form, source] of Object.entries({
    "code of tests": "#[cfg(test)]\nmod tests {\n    use crate::left::Left;\n    fn f() { [(); { 1 }]; }\n}\n",
    "a use of tests": "#[cfg(test)]\nuse crate::left::Left;\n",
    "a comment": "/// See [`crate::left::Left`].\npub struct Base; // crate::left::Left\n/* use crate::left::Left; */\n",
    "a string": 'const A: &str = "use crate::left::Left;";\nconst B: &str = r#"a "crate::left::Left" b"#;\n',
    "another crate": "use left::Left;\nfn f() { left::inner::call(); }\n",
    "a character before code": "fn f<'a>(a: &'a str) -> bool { a.contains('\"') }\n",
  })) {
    test(form, () => assert.deepEqual(findingsWith({ "base.rs": source }), []));
  }
});

describe("a circle of files is found", () => {
  const circle = ["left/inner.rs, left/outer.rs use each other"];
  for (const [form, source] of Object.entries({
    "by module": "use super::outer::Outer;\n",
    "through what the folder passes on": "use super::Outer;\n",
    "through the crate": "use crate::left::Outer;\n",
  })) {
    test(form, () => assert.deepEqual(findingsWith({ "left/inner.rs": source }), circle));
  }

  test("of three files", () => {
    const files = {
      "left/mod.rs": "mod inner;\nmod outer;\nmod third;\n\npub use inner::Left;\npub use outer::Outer;\n",
      "left/inner.rs": "use super::third::Third;\n",
      "left/third.rs": "use super::Outer;\n",
    };
    assert.deepEqual(findingsWith(files), ["left/inner.rs, left/outer.rs, left/third.rs use each other"]);
  });

  test("between a folder that uses what it passes on and a file that uses the folder's own", () => {
    const files = {
      "left/mod.rs": "mod inner;\nmod outer;\n\npub use inner::Left;\n\npub trait Own { fn left(&self) -> Left; }\n",
      "left/inner.rs": "use super::Own;\n",
      "left/outer.rs": "",
    };
    assert.deepEqual(findingsWith(files), ["left/inner.rs, left/mod.rs use each other"]);
  });
});

test("a module in no layer and a layer without code are found", () => {
  const found = findingsWith({ "lib.rs": "mod api;\nmod base;\nmod left;\nmod extra;\n", "extra.rs": "" });
  assert.deepEqual(found, ["extra is in no layer", "right is a layer without code"]);
});
