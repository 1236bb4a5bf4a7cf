declare module "*/worker/index.js" {
  const worker: any;
  export default worker;
}
