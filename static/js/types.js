// @ts-check
// The shapes that the server and the parts of the page hand each other.  Types only: nothing here runs.

/**
 * A post as the server tells it; in a room, Ids count 1, 2, 3 … without a gap. The oldest may be gone.
 * @typedef {object} Post
 * @property {number} Id
 * @property {string} User
 * @property {string} Message
 * @property {string} PostedAt  RFC 3339, UTC
 * @property {string} [ClientId]
 * @property {string} [EditedAt]  RFC 3339, UTC
 * @property {boolean} [Deleted]  its author took it back; Message is empty
 * @property {Record<string, string[]>} [Reactions]  who, by emoji
 */

/**
 * What the reader wrote and the server has not confirmed yet.
 * @typedef {object} PendingPost
 * @property {string} ClientId  made once; with User it makes a repeated send harmless
 * @property {string} RoomName
 * @property {string} User
 * @property {string} Message
 * @property {number} QueuedAt  milliseconds since 1970, strictly rising within one page: the order of sending
 * @property {string} [Refusal]  why it will not be sent again by itself
 */

/**
 * One room as far as this page knows it.
 * @typedef {object} Room
 * @property {string} name
 * @property {string} title  what it is called here
 * @property {boolean} direct  it is of some users, whose names are its title
 * @property {Post[]} posts  a gapless run of Ids, oldest first; empty until loaded
 * @property {string} topic  what it is about, as far as anybody has said
 * @property {boolean} archived  it is to be read only
 * @property {boolean} exists  the server has it; false for one that was opened here and has no post yet
 * @property {boolean} deleted  it was deleted while it was in view, and nobody has made it again
 * @property {boolean} closed  it is not open to the reader any more, and their message was not sent
 * @property {"no" | "loading" | "yes" | "failed"} loaded
 * @property {boolean} fromStart  posts[0] is the first post of the room
 * @property {"no" | "loading" | "failed"} older  is an older page under way?
 * @property {number} unread  posts of others that came while the room was not being read
 * @property {number} newestId  the newest Id that was heard of; posts may end before it while they are filled up
 */

/**
 * A room as the server tells it.
 * @typedef {object} RoomDetails
 * @property {string} Name
 * @property {string} Topic
 * @property {boolean} Archived
 * @property {"public" | "private" | "direct"} [Visibility]
 * @property {string[]} [Members]  of a direct one
 * @property {string[]} [Aliases]  names that it had, the oldest first
 */

/**
 * Who the reader is to the server.
 * @typedef {object} Account
 * @property {"open" | "login"} Auth  open: everybody says who they are
 * @property {string} [User]  the rest is there with a login only
 * @property {string} [DisplayName]
 * @property {"admin" | "member" | "guest"} [Role]
 */

/**
 * What stands between the reader and the rooms: nothing, or which form.
 * @typedef {"" | "login" | "signup" | "setup"} Door
 */

/**
 * @typedef {object} Connection
 * @property {"connecting" | "open" | "waiting"} phase
 * @property {string} node  URL of the node that the page is, or was last, connected to
 * @property {number} retryAt  milliseconds since 1970 of the next try; 0 when none is planned
 * @property {number} lostAt  milliseconds since 1970 when the connection was lost; 0 while it is open
 */

/** @typedef {{Cursor: string, User?: string | null, Nodes?: string[]}} Hello */
/** @typedef {{RoomName: string, Post: Post}} Broadcast */
/** @typedef {{User: string, Online: boolean}} Presence */
/** @typedef {{RoomName: string, User: string}} Typing */
/**
 * A page of a room that came by the websocket; First is Last + 1 where it is empty.
 * @typedef {{ClientId: string, Posts: Post[], First: number, Last: number, Oldest: number, Newest: number}} History
 */
/** @typedef {{RoomName: string, NewestId: number}} Limited */
/**
 * What happened to a room or to one of its posts.
 * @typedef {object} Happening
 * @property {string} Type  RoomDeleted, RoomChanged (has Room), PostChanged (has Post), Reacted (has Id, and one reaction or all that there are),
 *   or one of a newer server
 * @property {string} RoomName
 * @property {RoomDetails} [Room]
 * @property {Post} [Post]
 * @property {number} [Id]
 * @property {Record<string, string[]>} [Reactions]  all of them, after an absence
 * @property {string} [Emoji]  else this one
 * @property {string} [User]  who reacts with it
 * @property {boolean} [On]  or does not any more
 */
/** @typedef {{ClientId: string, RoomName: string, Post: Post}} Ack */
/** @typedef {{ClientId: string | null, code: string, detail: string, Temporary: boolean}} Refusal */

/**
 * What the socket tells its owner.
 * @typedef {object} SocketEvents
 * @property {(hello: Hello, resumed: boolean) => void} hello
 * @property {(broadcast: Broadcast) => void} post
 * @property {(happening: Happening) => void} happening
 * @property {(limited: Limited) => void} limited
 * @property {(presence: Presence) => void} presence
 * @property {(typing: Typing) => void} typing
 * @property {(ack: Ack) => void} ack
 * @property {(refusal: Refusal) => void} refusal
 * @property {(cluster: {Majority?: boolean}) => void} cluster
 * @property {(reason: string) => void} refused
 * @property {(connection: Connection) => void} connection
 * @property {() => void} turnedAway  the node does not take the reader for who they were
 */

export {};
