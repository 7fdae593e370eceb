// @ts-check
// The texts that people read, by area.

export const COMMON = {
  copied: "Copied",
  notCopied: "Not copied",
  cancel: "Cancel",
  close: "Close",
  tryAgain: "Try again",
};
