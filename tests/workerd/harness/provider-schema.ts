// What `POST /images/generations` and `POST /images/edits` of OpenAI take, by its published reference (CreateImageRequest and
// CreateImageEditRequest) and its guide's rules for sizes.

/** An error object in OpenAI's form. */
export type ApiError = { message: string; type: string; param: string | null; code: string | null };

/** `undefined`, or what is wrong with the value. */
type Rule = (value: unknown, request: Record<string, unknown>) => string | undefined;
type Schema = Record<string, Rule>;

const oneOf =
  (...values: unknown[]): Rule =>
  (value) =>
    values.includes(value) ? undefined : `Supported values are: ${values.map((each) => `'${each}'`).join(", ")}.`;

const integer =
  (least: number, most: number): Rule =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      ? undefined
      : `Expected an integer from ${least} to ${most}.`;

const text: Rule = (value) => (typeof value === "string" ? undefined : "Expected a string.");

/** Characters are code points. */
const prompt =
  (limit: number): Rule =>
  (value) => {
    if (typeof value !== "string" || value === "") return "Expected a string with minimum length 1.";
    const length = [...value].length;
    return length <= limit
      ? undefined
      : `string too long. Expected a string with maximum length ${limit}, but got a string with length ${length} instead.`;
  };

const anySize: Rule = (value) => {
  if (value === "auto") return undefined;
  const match = /^([1-9]\d*)x([1-9]\d*)$/.exec(String(value));
  if (!match) return "Expected 'auto' or WIDTHxHEIGHT.";
  const [width = 0, height = 0] = match.slice(1).map(Number);
  const [longer, shorter, pixels] = [Math.max(width, height), Math.min(width, height), width * height];
  if (width % 16 !== 0 || height % 16 !== 0) return "Width and height must both be divisible by 16.";
  if (longer > 3840) return "The longest edge must be less than or equal to 3840.";
  if (longer > 3 * shorter) return "The aspect ratio must be between 1:3 and 3:1.";
  if (pixels < 655_360) return "Requested resolution is below the current minimum pixel budget.";
  if (pixels > 8_294_400) return "Requested resolution is above the current maximum pixel budget.";
  return undefined;
};

const COMMON: Schema = { model: text, n: integer(1, 10), user: text };

const GPT_IMAGE: Schema = {
  ...COMMON,
  prompt: prompt(32_000),
  size: oneOf("1024x1024", "1536x1024", "1024x1536", "auto"),
  quality: oneOf("low", "medium", "high", "auto"),
  moderation: oneOf("low", "auto"),
  output_format: oneOf("png", "jpeg", "webp"),
  output_compression: (value, { output_format: format }) =>
    format === "jpeg" || format === "webp"
      ? integer(0, 100)(value, {})
      : "Compression less than 100 is not supported for PNG output format",
  background: (value, { output_format: format }) =>
    value === "transparent" && format === "jpeg"
      ? "Transparent background is not supported for JPEG output format"
      : oneOf("transparent", "opaque", "auto")(value, {}),
};

const GPT_IMAGE_2_5: Schema = { ...GPT_IMAGE, size: anySize, quality: oneOf("low", "medium", "high", "xhigh", "max", "auto") };

const GPT_IMAGE_2: Schema = {
  ...GPT_IMAGE,
  size: anySize,
  background: (value, request) =>
    value === "transparent" ? "Transparent background is not supported for this model." : GPT_IMAGE.background?.(value, request),
};

const DALL_E_3: Schema = {
  ...COMMON,
  n: oneOf(1),
  prompt: prompt(4000),
  size: oneOf("1024x1024", "1792x1024", "1024x1792"),
  quality: oneOf("standard", "hd"),
  style: oneOf("vivid", "natural"),
  response_format: oneOf("url", "b64_json"),
};

const DALL_E_2: Schema = {
  ...COMMON,
  prompt: prompt(1000),
  size: oneOf("256x256", "512x512", "1024x1024"),
  quality: oneOf("standard"),
  response_format: oneOf("url", "b64_json"),
};

/** Other servers' models take at least these. */
const OTHERS: Schema = { ...COMMON, prompt: prompt(1_000_000), size: text };

function schemaOf(model: string): Schema {
  if (model.startsWith("gpt-image-2.")) return GPT_IMAGE_2_5;
  if (model.startsWith("gpt-image-2")) return GPT_IMAGE_2;
  if (model.startsWith("gpt-image") || model.startsWith("chatgpt-image")) return GPT_IMAGE;
  if (model.startsWith("dall-e-3")) return DALL_E_3;
  if (model.startsWith("dall-e-2")) return DALL_E_2;
  return OTHERS;
}

/** Of an edit, the files that each kind of model takes: 50 MB of a picture, 4 MB of a PNG as the mask. */
const file =
  (types: string[], mostBytes: number): Rule =>
  (value) => {
    if (!(value instanceof Blob)) return "Expected a file.";
    if (!types.includes(value.type)) return `Unsupported file type ${value.type}.`;
    return value.size > 0 && value.size < mostBytes ? undefined : "Unsupported file size.";
  };

const MEGABYTE = 1024 * 1024;
const MASK = file(["image/png"], 4 * MEGABYTE);
const PICTURE = file(["image/png", "image/webp", "image/jpeg"], 50 * MEGABYTE);

/** What the parameters of an edit may be; the texts of a form stand for numbers too. */
function editSchemaOf(model: string): Schema {
  const { moderation: _, style: __, ...schema } = schemaOf(model);
  if (schema === undefined || model.startsWith("dall-e-3")) return {};
  if (model.startsWith("dall-e-2")) return { ...schema, image: file(["image/png"], 4 * MEGABYTE), mask: MASK };
  return { ...schema, image: PICTURE, "image[]": PICTURE, mask: MASK, input_fidelity: oneOf("high", "low") };
}

/** The error that OpenAI answers the form `body` with, if the schema of its model forbids the edit. */
export async function editRefusalOf(contentType: string, body: Uint8Array<ArrayBuffer>): Promise<ApiError | undefined> {
  const type = "invalid_request_error";
  if (!contentType.startsWith("multipart/form-data")) {
    return { message: `Unsupported content type: '${contentType}'.`, type, param: null, code: "unsupported_content_type" };
  }
  const form = await new Response(body, { headers: { "content-type": contentType } }).formData();
  const request: Record<string, unknown> = Object.fromEntries(form);
  for (const number of ["n", "output_compression"]) if (number in request) request[number] = Number(request[number]);
  if (request["image"] === undefined && request["image[]"] === undefined) {
    return { message: "Missing required parameter: 'image'.", type, param: "image", code: "missing_required_parameter" };
  }
  return refusal(request, editSchemaOf(String(request["model"] ?? "gpt-image-1.5")));
}

/** The error that OpenAI answers `body` with, if the schema of its model forbids it. */
export function refusalOf(body: string): ApiError | undefined {
  const request = JSON.parse(body) as Record<string, unknown>;
  return refusal(request, schemaOf(String(request["model"] ?? "dall-e-2")));
}

function refusal(request: Record<string, unknown>, schema: Schema): ApiError | undefined {
  const type = "invalid_request_error";
  for (const [param, value] of Object.entries(request)) {
    const rule = schema[param];
    if (rule === undefined) return { message: `Unknown parameter: '${param}'.`, type, param, code: "unknown_parameter" };
    const problem = rule(value, request);
    if (problem === undefined) continue;
    const code = problem.startsWith("string too long") ? "string_above_max_length" : "invalid_value";
    // The one refusal that is known to come without a parameter.
    const named = problem.endsWith("for this model.") ? null : param;
    return { message: named === null ? problem : `Invalid '${param}': ${problem}`, type, param: named, code };
  }
  if (request["prompt"] === undefined) {
    return { message: "Missing required parameter: 'prompt'.", type, param: "prompt", code: "missing_required_parameter" };
  }
  return undefined;
}
