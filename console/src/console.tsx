import { useEffect, useRef, useState } from "preact/hooks";
import type { ComponentType } from "preact";

import { AddPage } from "./add/page.tsx";
import { Refused, call } from "./api/client.ts";
import { setToken, token } from "./api/token.ts";
import type { Caller } from "./api/types.ts";
import { GalleryPage } from "./gallery/page.tsx";
import { forgetGallery } from "./gallery/store.ts";
import { PicturePage } from "./gallery/picture.tsx";
import { HealthPage } from "./health/page.tsx";
import { JobPage } from "./jobs/job.tsx";
import { JobsPage } from "./jobs/page.tsx";
import { setThumbnailWidth } from "./image-url.ts";
import { usePlace } from "./location.ts";
import type { Place } from "./location.ts";
import { MigratePage } from "./migrate/page.tsx";
import { RunPage } from "./migrate/run.tsx";
import { ProblemNote } from "./parts/problem.tsx";
import { SignIn } from "./sign-in.tsx";
import { UsagePage } from "./usage/page.tsx";

type Page = { title: string; component: ComponentType<{ place: Place; isOperator: boolean }>; isOperators?: true; isOpen?: true; inMenu?: true };

const PAGES: Record<string, Page> = {
  gallery: { title: "Gallery", component: GalleryPage, inMenu: true },
  picture: { title: "Picture", component: PicturePage },
  add: { title: "Add", component: AddPage, inMenu: true },
  jobs: { title: "Jobs", component: JobsPage, inMenu: true },
  job: { title: "Job", component: JobPage },
  migrate: { title: "Migrate", component: MigratePage, isOperators: true, inMenu: true },
  run: { title: "Run", component: RunPage, isOperators: true },
  usage: { title: "Usage", component: UsagePage, isOperators: true, inMenu: true },
  health: { title: "Health", component: HealthPage, isOpen: true, inMenu: true },
};

/** Undefined as long as it is not known. */
type Session = { caller: Caller } | { error: unknown } | undefined;

export function Console() {
  const place = usePlace();
  const [session, setSession] = useState<Session>();
  const open = async () => {
    forgetGallery();
    try {
      const caller = await call("describe-caller");
      setThumbnailWidth(caller.thumbnailWidth);
      setSession({ caller });
    } catch (error) {
      setSession({ error });
    }
  };
  useEffect(() => void open(), []);

  const caller = session !== undefined && "caller" in session ? session.caller : undefined;
  const page = PAGES[place.page];
  const leave = () => {
    setToken(undefined);
    void open();
  };
  const isShown = ({ isOperators, isOpen }: Page) => isOpen || (caller !== undefined && (!isOperators || caller.caller === "operator"));
  useTitle(page?.title ?? "Not found");
  return (
    <>
      <a class="skip" href={`#/${place.page}`} onClick={skipToMain}>
        Skip to the page
      </a>
      <header>
        <a class="brand" href="#/gallery">
          Stillstore
        </a>
        <nav aria-label="Pages">
          {Object.entries(PAGES)
            .filter(([, one]) => one.inMenu && isShown(one))
            .map(([name, one]) => (
              <a key={name} href={`#/${name}`} {...(name === place.page ? { "aria-current": "page" as const } : {})}>
                {one.title}
              </a>
            ))}
        </nav>
        {caller !== undefined && token() !== undefined && (
          <button type="button" class="quiet" onClick={leave}>
            Sign out
          </button>
        )}
      </header>
      <main id="main" tabIndex={-1} aria-busy={session === undefined}>
        <Shown page={page} place={place} session={session} onToken={open} isShown={isShown} />
      </main>
    </>
  );
}

type ShownProps = { page: Page | undefined; place: Place; session: Session; onToken: () => void; isShown: (page: Page) => boolean };

function Shown({ page, place, session, onToken, isShown }: ShownProps) {
  if (page === undefined) return <p>There is no such page.</p>;
  const Component = page.component;
  const isOperator = session !== undefined && "caller" in session && session.caller.caller === "operator";
  if (page.isOpen) return <Component place={place} isOperator={isOperator} />;
  if (session === undefined) return <p class="fine">Asking who you are</p>;
  if ("error" in session) {
    const status = session.error instanceof Refused ? session.error.problem.status : 0;
    if (status === 401) return <SignIn error={token() === undefined ? undefined : session.error} onToken={onToken} />;
    return <ProblemNote error={session.error} retry={onToken} />;
  }
  return isShown(page) ? <Component key={place.id} place={place} isOperator={isOperator} /> : <p class="note">This page is the operator's.</p>;
}

function skipToMain(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function useTitle(title: string): void {
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = `${title} · Stillstore`;
    // A new page is read from its beginning.
    if (!isFirst.current) document.getElementById("main")?.focus({ preventScroll: true });
    isFirst.current = false;
  }, [title]);
}
