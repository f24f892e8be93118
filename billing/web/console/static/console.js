// What scripts add to pages that work without them: a part that is sent again and again, "/" for the
// search, and dialogs. It keeps nothing and talks to no other host.

const isTyping = () => document.activeElement?.matches("input, select, textarea") ?? false;

// What was just done is said once, not after every reload.
if (new URLSearchParams(location.search).has("done")) {
  history.replaceState(null, "", location.pathname);
}

// "/" moves to the search, as in other tools.
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping()) return;
  const fields = [...document.querySelectorAll("[data-find]")];
  const field = fields.at(-1);
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
});

// A menu closes with Escape, and by a click elsewhere.
for (const menu of document.querySelectorAll("details.menu, details.more")) {
  addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
}

// <details data-dialog> becomes a button that opens its form as a dialog.
for (const details of document.querySelectorAll("details[data-dialog]")) {
  const summary = details.querySelector("summary");
  const form = details.querySelector("form");
  const dialog = document.createElement("dialog");
  const title = form.querySelector("h3");
  title.id ||= `title-${Math.random().toString(36).slice(2)}`;
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.append(form);
  details.after(dialog);
  summary.addEventListener("click", (event) => {
    event.preventDefault();
    dialog.showModal();
    form.querySelector("input:not([type=hidden])")?.focus();
  });
  for (const button of form.querySelectorAll("[data-close]")) {
    button.hidden = false;
    button.addEventListener("click", () => dialog.close());
  }
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

// A form is sent once, however often its button is pressed.
for (const form of document.querySelectorAll('form[method="post"]')) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// <div data-live="address" data-seconds="5"> is sent again and again by the server while it is
// visible. Where nothing arrives (no stream is free, or a proxy keeps it back), it is read again at
// this interval. A hidden page has no stream: a browser opens few connections to one host.
function live(part) {
  const wait = Number(part.dataset.seconds) * 1000;
  const stale = document.querySelector("[data-stale]");
  const stopped = () => part.querySelector("[data-stopped]")?.dataset.stopped;
  const isBusy = () => document.querySelector("dialog[open]");
  let source;
  let arrivedAt = 0;

  function show(text) {
    const before = stopped();
    // The part comes from our own server, which escaped every value in it.
    const read = new DOMParser().parseFromString(text, "text/html");
    if (!keepsFocus(part)) part.replaceChildren(...read.body.childNodes);
    stale.hidden = true;
    // The button below belongs to the other state now.
    if (before !== stopped() && !isBusy()) location.reload();
  }

  function openAgain() {
    close();
    if (!isBusy()) location.reload();
  }

  function close() {
    source?.close();
    source = undefined;
  }

  function open() {
    if (source || !window.EventSource) return;
    arrivedAt = Date.now();
    source = new EventSource(part.dataset.live);
    source.addEventListener("part", (event) => {
      arrivedAt = Date.now();
      part.dataset.by = "stream";
      show(event.data);
    });
    source.addEventListener("stale", () => {
      arrivedAt = Date.now();
      stale.hidden = false;
    });
    source.addEventListener("ended", openAgain);
  }

  async function poll() {
    try {
      const answer = await fetch(part.dataset.live, {
        credentials: "same-origin",
        redirect: "manual",
        signal: AbortSignal.timeout(15000),
      });
      if (answer.status === 401) {
        openAgain();
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      part.dataset.by = "poll";
      show(await answer.text());
    } catch {
      stale.hidden = false;
    }
  }

  setInterval(() => {
    const isLate = Date.now() - arrivedAt > 2 * wait + 1000;
    if (document.visibilityState === "visible" && isLate) poll();
  }, wait);
  document.addEventListener("visibilitychange", () => {
    close();
    if (document.visibilityState !== "visible") return;
    poll();
    open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => {
    if (event.persisted) open();
  });
  if (document.visibilityState === "visible") open();
}

// A reader who has moved into a table, or has selected text, keeps it until the next time.
function keepsFocus(part) {
  const selection = getSelection();
  const isSelecting = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  return isSelecting || (document.activeElement !== part && part.contains(document.activeElement));
}

for (const part of document.querySelectorAll("[data-live]")) live(part);
