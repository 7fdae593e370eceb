// @ts-check
// The notices about a room that the user cannot use any more.

/** The end of a private room's name.  A message never creates such a room. */
export const PRIVATE_NAME = /~[a-z2-7]{10}$/;
export const PUBLIC_DELETED = "This room was deleted. Your next message creates it again.";
export const PRIVATE_DELETED = "This room was deleted, or you are no longer a member of it.";
export const NOT_OPEN = "This room is not open to you.";
export const RETURNED = `${NOT_OPEN} Your message was not sent. Its text is in the box below.`;
