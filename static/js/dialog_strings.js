// @ts-check
// The texts of dialogs, and of what else is loaded when it is opened.

export const DIALOG = {
  cancel: "Cancel",
  close: "Close",
};

export const PANELS = {
  history: "Earlier versions",
  historyFailed: "The earlier versions could not be loaded.",
  noPins: "Nothing is pinned here. Pin a message to find it again.",
  first: "First message",
  go: "Go",
};

export const SIGN_OUT = {
  /** @param {number} count */
  unsent: (count) =>
    `${count === 1 ? "1 message was" : `${count} messages were`} not sent. Sign out again to discard what was not sent.`,
};

export const CLUSTER = {
  heading: "Cluster",
  nodes: "Nodes",
  columns: ["Node", "Address", "State", "Entries behind"],
  leads: "Leader",
  follows: "Follower",
  learns: "Catching up, does not vote",
  noAnswer: "Does not answer",
  noLeader: "There is no leader now. Nothing can be written.",
  healthy: "The cluster has a leader.",
  /**
   * @param {number} id
   * @param {number} term
   */
  leader: (id, term) => `Node ${id} leads, term ${term}.`,
  allAnswer: "All nodes answer.",
  /** @param {number} count */
  gone: (count) => (count === 1 ? "1 node does not answer." : `${count} nodes do not answer.`),
  rate: "Messages per second",
  /** @param {string} value */
  perSecond: (value) => value,
  commitTime: "Time to commit a message",
  /** @param {string} value */
  milliseconds: (value) => `${value} ms`,
  add: "Add a node",
  addSubmit: "Add",
  addHint: "Start the new node with --join first. It votes once it has caught up.",
  id: "Id",
  idWrong: "The id is a number from 1 on that no node had before.",
  url: "Peer URL",
  urlExample: "10.0.0.4:12379",
  urlWrong: "Enter the URL at which the other nodes reach the new node.",
  lead: {
    label: "Make leader",
    /** @param {number} id */
    heading: (id) => `Make node ${id} the leader`,
    text: "The present leader hands over. Messages that are sent meanwhile wait for a moment.",
  },
  promote: {
    label: "Let it vote",
    /** @param {number} id */
    heading: (id) => `Let node ${id} vote`,
    text: "The node counts towards the majority from then on.",
  },
  remove: {
    label: "Remove",
    /** @param {number} id */
    heading: (id) => `Remove node ${id}`,
    text: "The node stops, and its id is never used again. The cluster needs a majority of the others.",
  },
};

export const EMOJI = {
  picker: "Choose an emoji",
  search: "Search emoji",
  recent: "Recent",
  found: "Found",
  none: "No emoji has this name.",
  failed: "The emoji could not be loaded.",
  tone: "Skin tone",
  tones: ["Default", "Light", "Medium-light", "Medium", "Medium-dark", "Dark"],
};

export const ROOM_DIALOGS = {
  newRoom: "New room",
  create: "Create room",
  name: "Room name",
  nameHint: "People find the room by it, such as general or the kitchen.",
  topic: "Topic",
  topicHint: "Optional. Shown beside the name.",
  visibility: "Who can see it",
  isPublic: "Public: everybody except guests",
  isPrivate: "Private: its members only",
  members: "Members",
  membersHint: "The names of people to add, with commas between them.",
};

export const BROWSE = {
  rooms: "Browse rooms",
  findRoom: "Find a room",
  noRooms: "No room has this name.",
  people: "New direct message",
  findPerson: "Find a person",
  noPeople: "Nobody has this name.",
  join: "Join",
  open: "Open",
  write: "Write to",
  loading: "Loading…",
  /** @param {number} count */
  more: (count) => `${count} more. Type to find them.`,
};

export const KEYS = {
  heading: "Keyboard shortcuts",
  /** @type {[keys: string, what: string][]} */
  list: [
    ["Ctrl+K", "Go to a room, a person or a command"],
    ["Alt+↑", "The room above"],
    ["Alt+↓", "The room below"],
    ["Alt+Shift+↑", "The unread room above"],
    ["Alt+Shift+↓", "The unread room below"],
    ["Esc", "Mark this room as read"],
    ["Shift+Esc", "Mark all rooms as read"],
    ["Enter", "Send the message"],
    ["Shift+Enter", "Begin a new line"],
    ["↑", "Edit your last message, from the empty message field"],
    ["?", "Show these shortcuts"],
  ],
};

export const GO_TO = {
  heading: "Go to",
  placeholder: "A room, a person or a command",
  room: "Room",
  direct: "Direct messages",
  person: "Person",
  command: "Command",
  none: "Nothing has this name.",
  markAllRead: "Mark all rooms as read",
};

export const PREFERENCES = {
  save: "Save",
  theme: "Colours",
  /** @type {[value: string, text: string][]} */
  themes: [["system", "As the system"], ["light", "Light"], ["dark", "Dark"]],
  density: "Density",
  /** @type {[value: string, text: string][]} */
  densities: [["normal", "Comfortable"], ["compact", "Compact"]],
  notifications: "Notifications",
  /** @type {[value: string, text: string][]} */
  notifyChoices: [["off", "Off"], ["on", "On"], ["sound", "On, with a sound"]],
  notifyHint: "Each room has its own level: all messages, mentions, or none.",
  notSecure: "The browser gives notifications over https only. Open the page at an https address.",
  refused: "The browser does not allow notifications for this page. Allow them in its settings.",
  quietFrom: "Quiet from",
  quietTo: "Quiet to",
  quietHint: "No notifications between these times.",
};

export const ROOM_SETTINGS = {
  /** @param {string} title */
  heading: (title) => `Settings of ${title}`,
  notify: "Notify me about",
  /** @type {[value: string, text: string][]} */
  levels: [["all", "All messages"], ["mentions", "Mentions"], ["none", "Nothing: the room is muted"]],
  save: "Save",
  name: "Room name",
  topic: "Topic",
  archived: "Archive",
  /** @type {[value: string, text: string][]} */
  archiveChoices: [["no", "Open: people can write"], ["yes", "Archived: read only"]],
  maxMessages: "Newest messages to keep",
  maxDays: "Days to keep messages",
  noLimit: "Leave this empty to keep all.",
  notANumber: "Enter a whole number, or leave it empty.",
  delete: "Delete room…",
  /** @param {string} title */
  deleteHeading: (title) => `Delete ${title}?`,
  deleteText: "The room and all its messages are deleted for everybody. This cannot be undone.",
  typeName: "Type the room's name to confirm",
  wrongName: "This is not the room's name.",
  confirmDelete: "Delete room",
  leave: "Leave room",
  /** @param {string} title */
  members: (title) => `Members of ${title}`,
  add: "Add a person",
  addButton: "Add",
  remove: "Remove",
  owner: "owner",
  you: "you",
};

export const COMPLETION = {
  heading: "Suggestions",
  everybody: "Everybody in the room",
  /** @param {number} count */
  count: (count) => (count === 1 ? "1 suggestion" : `${count} suggestions`),
};

export const COMMANDS = {
  heading: "Commands",
  /** @type {[name: string, argument: string, what: string][]} */
  list: [
    ["me", "text", "Say what you do"],
    ["topic", "text", "Set the topic of this room"],
    ["join", "room", "Go to a room, and become a member"],
    ["leave", "", "Leave this room"],
    ["invite", "person", "Add a person to this room"],
    ["shrug", "text", "Add a shrug to your text"],
    ["help", "", "Show these commands"],
  ],
  twoSlashes: "To send a text that begins with a slash, begin it with two.",
  /** @param {string} name */
  unknown: (name) =>
    `There is no command /${name}. There are /me, /topic, /join, /leave, /invite, /shrug and /help. To send the text as it is, begin it with two slashes.`,
  /** @param {string} name */
  needsText: (name) =>
    ({
      me: "Write what you do after the command, such as /me waves.",
      topic: "Write the topic after the command, such as /topic Plans for May.",
      join: "Write the room after the command, such as /join general.",
      invite: "Write the person's name after the command, such as /invite ann.",
    })[name] ?? "",
  /** @param {string} room */
  noRoom: (room) => `There is no room called ${room}. Create it with "New room".`,
  noMembers: "Without sign-in rooms have no members, so there is nothing to leave.",
  /** @param {string} link */
  openToAll: (link) => `Without sign-in everybody can read this room. Send them its address: ${link}`,
  topicSet: "Topic set.",
  /** @param {string} room */
  left: (room) => `You left ${room}.`,
  /** @param {string} name */
  invited: (name) => `${name} is a member now.`,
};
