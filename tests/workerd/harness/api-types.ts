// Generated from src/api/openapi/openapi.json by scripts/api-types.mjs.

export type * from "../../../console/src/api/types.ts";
