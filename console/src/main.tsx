// The console: what is stored, what is moving, what failed, and what to do next.
import { render } from "preact";

import { Console } from "./console.tsx";

const root = document.getElementById("app");
if (root !== null) render(<Console />, root);
