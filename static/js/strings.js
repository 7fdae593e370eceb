// @ts-check
// The texts that people read, by area: those that a first visit may show.  dialog_strings.js has the others.

export const COMMON = {
  copied: "Copied",
  notCopied: "Not copied",
  tryAgain: "Try again",
};

export const CONNECTION = {
  readOnly: "Read-only: the cluster has no majority. What you write is kept.",
  mayBeStale: "Newer messages may be missing.",
  offline: "You are offline. What you write is kept and sent later.",
  /** @param {string} time */
  keptAt: (time) => `You see what this browser kept, last updated ${time}.`,
  restored: "The server was restored from an older copy. This page now shows what it has.",
  trying: "Trying…",
  connecting: "Connecting…",
  /** @param {number} seconds */
  nextTry: (seconds) => `Next try in ${seconds} s.`,
};

export const ACCOUNT = {
  button: "Account",
  chooseName: "Choose your name",
  changeName: "Change your name.",
  /** @param {string} user */
  youAre: (user) => `You are ${user}.`,
};

export const MESSAGES = {
  actions: "Message actions",
  react: "React",
  reply: "Reply",
  edit: "Edit",
  delete: "Delete",
  pin: "Pin",
  unpin: "Unpin",
  copyLink: "Copy link",
  copyText: "Copy text",
  more: "More actions",
  markUnread: "Mark unread from here",
  showHistory: "Show earlier versions",
  deleted: "This message was deleted.",
  /** @param {number} count */
  deletedMany: (count) => `${count} messages were deleted.`,
  /** @param {string} full */
  editedAt: (full) => `Edited ${full}. Show earlier versions.`,
  undo: "Undo",
  deleting: "Message deleted.",
  /** @param {string} reason */
  notDeleted: (reason) => `Not deleted. ${reason}`,
  linkCopied: "Link copied.",
  textCopied: "Text copied.",
  code: "Code",
  copyCode: "Copy",
  showAll: "Show all",
  showLess: "Show less",
  newMessages: "New messages",
  pins: "Pinned messages",
  pinned: "Pinned",
  /** @param {string} user */
  replyTo: (user) => `Reply to ${user}`,
  replyGone: "The answered message is gone.",
  loadingReply: "…",
  editing: "Edit message",
  cancelReply: "Cancel the reply",
  cancelEdit: "Cancel the edit",
  /** @param {string} detail */
  notSaved: (detail) => `Not saved. ${detail}`,
  /**
   * @param {string} emoji
   * @param {string[]} users
   */
  reaction: (emoji, users) => `${emoji} ${users.length}, ${users.join(", ")}`,
  jumpToDate: "Jump to a date",
  messageGone: "This message is gone.",
};

export const COMPOSER = {
  /** @param {number} over */
  tooLong: (over) => `${over.toLocaleString()} characters too long. Shorten it, or send it in parts.`,
  noFiles: "Files cannot be sent yet. Your text is still here.",
  noCommands: "Commands cannot be loaded now. Your text is still here: try again.",
};

export const ROOMS = {
  filter: "Filter rooms",
  newRoom: "New room",
  browse: "Browse rooms",
  newDirect: "New direct message",
  favourites: "Favourites",
  directs: "Direct messages",
  rooms: "Rooms",
  directWith: "Direct messages with ",
  privateRoom: "Private room ",
  isNew: "new",
  isNewHint: "The room is created with its first message",
  unread: " unread",
  mentions: " mentions",
  muted: "muted",
  online: "online",
  archived: "archived",
  preferences: "Preferences",
  settings: "Room settings",
  favourite: "Favourite",
  members: "Members",
  none: "No rooms yet. Create the first one.",
  failed: "The rooms could not be loaded. ",
  noMatch: "No room has this name.",
};
