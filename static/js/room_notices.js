// @ts-check
// What is said of a room that is not open to the reader any more.

/** How the names of private rooms end; nobody makes such a room by writing there. */
export const PRIVATE = /~[a-z2-7]{10}$/;
export const GONE = "This room is gone, or not open to you any more.";
export const NOT_OPEN = "This room is not open to you.";
export const CLOSED = `${NOT_OPEN} Your message was not sent: its text is in the box below.`;
