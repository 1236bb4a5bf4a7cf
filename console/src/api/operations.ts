// Generated from src/api/openapi/openapi.json by scripts/api-types.mjs.

import type * as T from "./types.ts";

/** Method and path of each operation. */
export const ROUTES = {
  "index": ["GET", "/"],
  "describe-caller": ["GET", "/api/caller"],
  "generate-image": ["POST", "/api/generate-image"],
  "delete-image-by-key": ["DELETE", "/api/images"],
  "list-images": ["GET", "/api/images"],
  "upload-image": ["POST", "/api/images"],
  "delete-image": ["DELETE", "/api/images/{id}"],
  "describe-image": ["GET", "/api/images/{id}"],
  "sign-image-url": ["POST", "/api/images/{id}/signed-url"],
  "migration-status": ["GET", "/api/migrate-images"],
  "migrate-images": ["POST", "/api/migrate-images"],
  "describe-run": ["GET", "/api/migrate-images/runs/{id}"],
  "run-items": ["GET", "/api/migrate-images/runs/{id}/items"],
  "run-receipt": ["GET", "/api/migrate-images/runs/{id}/receipt"],
  "reconcile": ["POST", "/api/reconcile"],
  "usage": ["GET", "/api/usage"],
  "cancel-batch": ["DELETE", "/batches/{id}"],
  "describe-batch": ["GET", "/batches/{id}"],
  "docs": ["GET", "/docs"],
  "health": ["GET", "/health"],
  "serve-image": ["GET", "/images/{id}"],
  "look-at-image": ["POST", "/images/{id}/describe"],
  "image-description": ["GET", "/images/{id}/description"],
  "list-jobs": ["GET", "/jobs"],
  "create-job": ["POST", "/jobs"],
  "cancel-job": ["DELETE", "/jobs/{id}"],
  "describe-job": ["GET", "/jobs/{id}"],
  "metrics": ["GET", "/metrics"],
  "openapi": ["GET", "/openapi.json"],
  "create-session": ["POST", "/sessions"],
  "session-analysis": ["GET", "/sessions/{id}/analysis"],
  "analyze-session": ["POST", "/sessions/{id}/analyze"],
  "delete-frames": ["DELETE", "/sessions/{id}/frames"],
  "list-frames": ["GET", "/sessions/{id}/frames"],
  "upload-frames": ["POST", "/sessions/{id}/frames"],
  "serve-frame": ["GET", "/sessions/{id}/frames/{number}"],
  "list-shoots": ["GET", "/shoots"],
  "create-shoot": ["POST", "/shoots"],
  "delete-shoot": ["DELETE", "/shoots/{id}"],
  "describe-shoot": ["GET", "/shoots/{id}"],
  "list-assets": ["GET", "/shoots/{id}/assets"],
  "edit-shoot": ["POST", "/shoots/{id}/jobs"],
  "confirm-upload": ["POST", "/uploads/confirm"],
  "create-multipart": ["POST", "/uploads/multipart"],
  "abort-multipart": ["DELETE", "/uploads/multipart/{id}"],
  "list-parts": ["GET", "/uploads/multipart/{id}"],
  "complete-multipart": ["POST", "/uploads/multipart/{id}"],
  "put-part": ["PUT", "/uploads/multipart/{id}/{number}"],
  "presign-upload": ["POST", "/uploads/presign"],
  "s3-abort": ["DELETE", "/uploads/s3/{id}"],
  "s3-list-parts": ["GET", "/uploads/s3/{id}"],
  "s3-post": ["POST", "/uploads/s3/{id}"],
  "s3-put-part": ["PUT", "/uploads/s3/{id}"],
  "receive-form": ["POST", "/uploads/{id}"],
  "receive-upload": ["PUT", "/uploads/{id}"],
} as const;

/** What each operation takes and answers. */
export type Operations = {
  "index": { path: {  }; query: {  }; body: undefined; answer: T.Index };
  "describe-caller": { path: {  }; query: {  }; body: undefined; answer: T.Caller };
  "generate-image": { path: {  }; query: {  }; body: T.GenerateRequest; answer: T.GeneratedImage };
  "delete-image-by-key": { path: {  }; query: { "key": T.ObjectKey; "force"?: boolean }; body: undefined; answer: undefined };
  "list-images": { path: {  }; query: { "personaId"?: string; "sessionId"?: string; "context"?: string; "ownerId"?: string; "createdFrom"?: string; "createdTo"?: string; "search"?: string; "meta"?: Record<string, string>; "status"?: T.Status; "storage"?: T.StorageKind; "limit"?: number; "key"?: T.ObjectKey; "cursor"?: string }; body: undefined; answer: T.ImagePage | T.Image };
  "upload-image": { path: {  }; query: { "filename"?: string; "context"?: T.Context; "visibility"?: T.Visibility; "sha256"?: string; "onFailure"?: "error" | "default"; "meta"?: Record<string, string>; "personaId"?: string; "sessionId"?: string; "participantId"?: string; "tableId"?: string }; body: { "context"?: T.Context; "filename"?: string; "onFailure"?: "error" | "default"; "participantId"?: string; "personaId"?: string; "sessionId"?: string; "sha256"?: string; "source_url": string; "tableId"?: string; "visibility"?: T.Visibility } | BodyInit; answer: T.DefaultImage | T.Image };
  "delete-image": { path: { "id": T.ImageId }; query: { "force"?: boolean }; body: undefined; answer: undefined };
  "describe-image": { path: { "id": T.ImageId }; query: {  }; body: undefined; answer: T.Image };
  "sign-image-url": { path: { "id": T.ImageId }; query: {  }; body: T.SignRequest; answer: T.SignedUrl };
  "migration-status": { path: {  }; query: {  }; body: undefined; answer: T.MigrationStatus };
  "migrate-images": { path: {  }; query: {  }; body: T.MigrateRequest; answer: T.RunAnswer | T.ControlAnswer | T.StatsAnswer | T.RunAnswer };
  "describe-run": { path: { "id": T.RunId }; query: {  }; body: undefined; answer: T.Run };
  "run-items": { path: { "id": T.RunId }; query: { "cursor"?: string }; body: undefined; answer: T.ItemPage };
  "run-receipt": { path: { "id": T.RunId }; query: {  }; body: undefined; answer: undefined };
  "reconcile": { path: {  }; query: {  }; body: T.ReconcileRequest; answer: T.ReconcileSlice };
  "usage": { path: {  }; query: {  }; body: undefined; answer: T.Usage };
  "cancel-batch": { path: { "id": T.BatchId }; query: {  }; body: undefined; answer: T.Batch };
  "describe-batch": { path: { "id": T.BatchId }; query: {  }; body: undefined; answer: T.Batch };
  "docs": { path: {  }; query: {  }; body: undefined; answer: undefined };
  "health": { path: {  }; query: {  }; body: undefined; answer: T.Health };
  "serve-image": { path: { "id": string }; query: { "w"?: number; "h"?: number; "fit"?: "contain" | "scale-down" | "cover" | "crop" | "clip" | "max" | "fill" | "min"; "q"?: number; "fm"?: "jpeg" | "jpg" | "png" | "webp" | "auto"; "dpr"?: number; "auto"?: string; "variant"?: string; "fallback"?: "original"; "expires"?: string; "signature"?: string }; body: undefined; answer: undefined };
  "look-at-image": { path: { "id": T.ImageId }; query: {  }; body: T.LookRequest | BodyInit; answer: T.Job };
  "image-description": { path: { "id": T.ImageId }; query: {  }; body: undefined; answer: T.ImageDescription };
  "list-jobs": { path: {  }; query: { "status"?: T.JobState; "asset_id"?: T.ImageId; "batch_id"?: T.BatchId; "limit"?: number; "cursor"?: string }; body: undefined; answer: T.JobPage };
  "create-job": { path: {  }; query: {  }; body: T.JobRequest | BodyInit; answer: T.Job };
  "cancel-job": { path: { "id": T.JobId }; query: {  }; body: undefined; answer: T.Job };
  "describe-job": { path: { "id": T.JobId }; query: {  }; body: undefined; answer: T.Job };
  "metrics": { path: {  }; query: {  }; body: undefined; answer: undefined };
  "openapi": { path: {  }; query: {  }; body: undefined; answer: Record<string, unknown> };
  "create-session": { path: {  }; query: {  }; body: T.SessionRequest | BodyInit; answer: T.Session };
  "session-analysis": { path: { "id": T.SessionId }; query: {  }; body: undefined; answer: T.SessionAnalysis };
  "analyze-session": { path: { "id": T.SessionId }; query: {  }; body: T.LookRequest | BodyInit; answer: T.Job };
  "delete-frames": { path: { "id": T.SessionId }; query: {  }; body: undefined; answer: T.Clearing };
  "list-frames": { path: { "id": T.SessionId }; query: { "limit"?: number; "cursor"?: string }; body: undefined; answer: T.FramePage };
  "upload-frames": { path: { "id": T.SessionId }; query: { "replace"?: boolean; "visibility"?: T.Visibility }; body: BodyInit; answer: T.FramesAnswer };
  "serve-frame": { path: { "id": T.SessionId; "number": number }; query: {  }; body: undefined; answer: undefined };
  "list-shoots": { path: {  }; query: { "limit"?: number; "cursor"?: string }; body: undefined; answer: T.ShootPage };
  "create-shoot": { path: {  }; query: {  }; body: T.ShootRequest | BodyInit; answer: T.Shoot };
  "delete-shoot": { path: { "id": T.ShootId }; query: {  }; body: undefined; answer: T.Clearing };
  "describe-shoot": { path: { "id": T.ShootId }; query: {  }; body: undefined; answer: T.Shoot };
  "list-assets": { path: { "id": T.ShootId }; query: { "limit"?: number; "cursor"?: string }; body: undefined; answer: T.AssetPage };
  "edit-shoot": { path: { "id": T.ShootId }; query: {  }; body: T.BatchRequest | BodyInit; answer: T.BatchMade };
  "confirm-upload": { path: {  }; query: {  }; body: T.ConfirmRequest; answer: T.Asset };
  "create-multipart": { path: {  }; query: {  }; body: T.MultipartRequest | T.SignRequest2; answer: T.SignedRequest | T.MultipartUpload };
  "abort-multipart": { path: { "id": T.ImageId }; query: {  }; body: undefined; answer: undefined };
  "list-parts": { path: { "id": T.ImageId }; query: {  }; body: undefined; answer: T.Parts };
  "complete-multipart": { path: { "id": T.ImageId }; query: {  }; body: T.CompleteRequest; answer: T.Asset };
  "put-part": { path: { "id": T.ImageId; "number": number }; query: {  }; body: BodyInit; answer: T.Part };
  "presign-upload": { path: {  }; query: {  }; body: T.PresignRequest; answer: T.PresignedUpload };
  "s3-abort": { path: { "id": T.ImageId }; query: { "uploadId"?: string; "partNumber"?: string; "expires"?: string; "signature"?: string }; body: undefined; answer: undefined };
  "s3-list-parts": { path: { "id": T.ImageId }; query: { "uploadId"?: string; "partNumber"?: string; "expires"?: string; "signature"?: string }; body: undefined; answer: undefined };
  "s3-post": { path: { "id": T.ImageId }; query: { "uploadId"?: string; "partNumber"?: string; "expires"?: string; "signature"?: string }; body: BodyInit; answer: undefined };
  "s3-put-part": { path: { "id": T.ImageId }; query: { "uploadId"?: string; "partNumber"?: string; "expires"?: string; "signature"?: string }; body: BodyInit; answer: undefined };
  "receive-form": { path: { "id": T.ImageId }; query: {  }; body: BodyInit; answer: undefined };
  "receive-upload": { path: { "id": T.ImageId }; query: { "key"?: string; "Content-Type"?: string; "max-bytes"?: string; "expires"?: string; "signature"?: string }; body: BodyInit; answer: undefined };
};
