// @ts-check
// Types that the server and the parts of the page share.  Nothing here runs.

/**
 * A message as the server sends it.  In a room, Ids count 1, 2, 3 … without a gap; the oldest may be deleted.
 * @typedef {object} Post
 * @property {number} Id
 * @property {string} User
 * @property {string} Message
 * @property {string} PostedAt  RFC 3339, UTC
 * @property {string} [ClientId]
 * @property {string} [EditedAt]  RFC 3339, UTC
 * @property {boolean} [Deleted]  then Message is empty
 * @property {number} [ReplyTo]  the Id of the message that it answers
 * @property {Reactions} [Reactions]
 * @property {{At: string}} [Imported]  when it was imported from an export; then PostedAt may lie before the others'
 */

/** @typedef {Record<string, string[]>} Reactions  the users of each emoji */

/**
 * A message that the server has not confirmed yet.
 * @typedef {object} PendingPost
 * @property {string} ClientId  made once; User and ClientId together make a repeated send harmless
 * @property {string} RoomName
 * @property {string} User
 * @property {string} Message
 * @property {number} [ReplyTo]
 * @property {number} QueuedAt  milliseconds since 1970, strictly rising within one page: the order of sending
 * @property {number} [ReleasedAt]  milliseconds since 1970 when its author had it sent again after a refusal
 * @property {boolean} [NotKept]  the browser could not store it: closing the page loses it
 * @property {string} [Refusal]  why the server refused it; then the page sends it again only when asked to
 */

/**
 * A room, as this page knows it.
 * @typedef {object} Room
 * @property {string} name
 * @property {string} title  the name that the page shows
 * @property {boolean} direct  a room of a few users, whose names are its title
 * @property {string} topic
 * @property {boolean} archived  nobody can write in it
 * @property {boolean} exists  the server has it; false for a room that was opened here and has no message yet
 * @property {boolean} deleted  deleted while it was in view, and not created again since
 * @property {boolean} closed  the server refused a message here because the user may not write in this room any more
 * @property {Post[] | null} pins  the pinned messages, in the order of pinning; null until loaded
 * @property {boolean} private
 * @property {string[]} members  of a direct room, without the user of this page
 * @property {string} owner  "" for nobody
 * @property {boolean} joined  the user is a member
 * @property {Retention | null} retention
 * @property {number} newestId  the newest message that the page has heard of; 0 where it has heard of none
 * @property {number} readId  the newest message that the user has read; 0 where that is not known
 * @property {number} unread  messages after readId
 * @property {number} mentions  of these, those that mention the user
 * @property {number} newFromId  the first message below the line "New messages"; 0 for no line
 * @property {boolean} favourite  as the server keeps it, with sign-in
 * @property {NotifyLevel | null} notify  likewise; null for the default
 * @property {boolean} isKeptUnread  the user marked it unread, so being in view does not mark it read
 * @property {import("./store/timeline.js").Timeline} timeline
 */

/**
 * A room as the server sends it.
 * @typedef {object} RoomDetails
 * @property {string} Name
 * @property {string} Topic
 * @property {boolean} Archived
 * @property {"public" | "private" | "direct"} [Visibility]
 * @property {string[]} [Members]  only of a direct room
 * @property {string | null} [Owner]
 * @property {Retention | null} [Retention]
 * @property {number} [NewestId]
 * @property {boolean} [Joined]  with sign-in, in an answer to the user; so are the next ones
 * @property {number} [ReadId]
 * @property {number} [Unread]
 * @property {number} [Mentions]
 * @property {boolean} [Favourite]
 * @property {NotifyLevel | null} [Notify]
 * @property {string[]} [Aliases]  earlier names, the oldest first
 */

/** @typedef {"all" | "mentions" | "none"} NotifyLevel */
/** @typedef {{Favourite?: boolean, Notify?: NotifyLevel | null}} RoomPreferences  what a user prefers about a room */

/** @typedef {{MaxMessages?: number | null, MaxAgeSeconds?: number | null}} Retention */

/**
 * A user as the server shows them to others.
 * @typedef {object} User
 * @property {string} Name
 * @property {string} DisplayName
 * @property {"admin" | "member" | "guest"} Role
 * @property {boolean} Active
 */

/**
 * The user as the server knows them.
 * @typedef {object} Account
 * @property {"open" | "login"} Auth  open: no sign-in, everybody chooses a name; the other properties are missing then
 * @property {string} [User]
 * @property {string} [DisplayName]
 * @property {"admin" | "member" | "guest"} [Role]
 * @property {boolean} [Proxy]  true: signed in by a proxy in front of the chat, so there is no password and no sign-out
 */

/** @typedef {"sign-in" | "sign-up" | "set-up"} SignInForm  set-up: create the first account */

/**
 * @typedef {object} Connection
 * @property {"connecting" | "open" | "waiting"} phase
 * @property {string} node  URL of the node that the page is, or was last, connected to
 * @property {number} retryAt  milliseconds since 1970 of the next try; 0 when none is planned
 * @property {number} lostAt  milliseconds since 1970 when the connection was lost; 0 while it is open
 */

// What comes over the websocket.

/** @typedef {{Cursor: string, User?: string | null, Nodes?: string[]}} Hello */
/** @typedef {{ClientId: string, RoomName: string, Post: Post}} Ack */
/** @typedef {{RoomName: string, NewestId: number}} Limited */
/** @typedef {{User: string, Online: boolean}} Presence */
/** @typedef {{RoomName: string, User: string}} Typing */
/** @typedef {{Majority?: boolean}} ClusterState */
/** @typedef {{ClientId: string | null, code: string, detail: string, Temporary: boolean}} ErrorFrame */

/**
 * A page of a room; First is Last + 1 if it is empty.
 * @typedef {{ClientId: string, Posts: Post[], First: number, Last: number, Oldest: number, Newest: number}} History
 */

/**
 * A change of a room or of one of its messages.
 * @typedef {object} RoomEvent
 * @property {string} Type  RoomDeleted, RoomChanged (has Room), Marked (has Id), Preferences, PostChanged (has Post), Reacted (has Id, and either
 *   Emoji, User and On or all Reactions), or a type of a newer server
 * @property {string} RoomName
 * @property {RoomDetails} [Room]
 * @property {Post} [Post]
 * @property {number} [Id]
 * @property {Reactions} [Reactions]  all of them, after an absence
 * @property {string} [Emoji]
 * @property {string} [User]
 * @property {boolean} [Favourite]
 * @property {NotifyLevel | null} [Notify]
 * @property {boolean} [On]  false: the user removed this reaction
 */

/**
 * Any frame.  It has one of these properties, or RoomName with Post; Cursor may come with each.
 * @typedef {object} Frame
 * @property {Hello} [Hello]
 * @property {Ack} [Ack]
 * @property {Limited} [Limited]
 * @property {RoomEvent} [Event]
 * @property {Presence} [Presence]
 * @property {Typing} [Typing]
 * @property {ClusterState} [Cluster]
 * @property {ErrorFrame} [Error]
 * @property {History} [History]
 * @property {{Ticket: string}} [Ticket]
 * @property {string} [RoomName]
 * @property {Post} [Post]
 * @property {unknown} [Cursor]
 */

/**
 * The callbacks of ChatSocket.
 * @typedef {object} SocketEvents
 * @property {() => Promise<string | null>} onFirstSubscribe  the cursor to begin with; null: from now on
 * @property {(resumed: boolean) => void} onHello  resumed: what was missed follows by itself
 * @property {(room: string, post: Post) => void} onPost
 * @property {(ack: Ack) => void} onAck
 * @property {(event: RoomEvent) => void} onRoomEvent
 * @property {(limited: Limited) => void} onLimited
 * @property {(presence: Presence) => void} onPresence
 * @property {(typing: Typing) => void} onTyping
 * @property {(error: ErrorFrame) => void} onError
 * @property {(cluster: ClusterState) => void} onCluster
 * @property {(connection: Connection) => void} onConnection
 * @property {(reason: string) => void} onOriginRefused  "" once the node accepts this page again
 * @property {() => void} onSignedOut  the node does not know the user any more
 */

export {};
