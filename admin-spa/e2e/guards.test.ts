// The harness itself: what a page must not do is seen, and the policy of the real relay stops it.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Console, closeBrowser } from "./support/console.ts";

after(closeBrowser);

/** The complaints so far, which the test has looked at. */
function seen(made: Console): string[] {
  return made.watch.complaints.splice(0);
}

async function complains(made: Console, action: () => unknown, words: RegExp): Promise<void> {
  await made.page.evaluate(action);
  const deadline = Date.now() + 10_000;
  while (!made.watch.complaints.some((line) => words.test(line))) {
    assert.ok(Date.now() < deadline, `no complaint of ${words}: ${made.watch.complaints.join("\n")}`);
    await made.page.evaluate(() => new Promise(requestAnimationFrame));
  }
  seen(made);
}

test("what a page must not do is seen", async (t) => {
  const made = await Console.start(t);
  await made.open("login");
  await complains(made, () => console.error("broken"), /console\.error: broken/);
  await complains(made, () => void setTimeout(() => { throw new Error("uncaught") }), /error: .*uncaught/);
  await complains(made, () => void fetch("https://example.com/").catch(() => {}), /policy: connect-src/);
  await complains(
    made,
    () => document.body.append(Object.assign(new Image(), { src: "https://example.com/pixel.png" })),
    /policy: img-src/,
  );
  await complains(
    made,
    () => {
      const script = document.createElement("script");
      try {
        script.text = "window.injected = true";
      } catch {
        // Trusted Types throw; the policy is violated all the same.
      }
      document.body.append(script);
    },
    /policy: (require-trusted-types-for|script-src)/,
  );
  await complains(
    made,
    () => {
      try {
        document.body.innerHTML = "<img src=x onerror=alert(1)>";
      } catch {
        // As above.
      }
    },
    /policy: require-trusted-types-for/,
  );
  await complains(made, () => document.body.setAttribute("style", "color: red"), /policy: style-src/);
  assert.equal(await made.page.evaluate(() => "injected" in window), false);
  // A page of another host is no business of the console either.
  await made.page.goto("http://other.example/").catch(() => {});
  assert.ok(seen(made).some((line) => line.startsWith("another host: http://other.example/")));
});

test("clicks and Enter are counted", async (t) => {
  const made = await Console.start(t);
  await made.open("login");
  await made.page.locator("body").click({ position: { x: 2, y: 2 } });
  await made.page.keyboard.press("Enter");
  await made.page.keyboard.press("Tab");
  await made.page.evaluate(() => 0);
  assert.equal(made.watch.clicks, 2);
  made.watch.reset();
  assert.equal(made.watch.clicks, 0);
});
