// @ts-check
// Times in the language and time zone of the browser.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const thisYear = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const otherYear = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/**
 * @param {Date} date
 * @returns {string} such as 10:04
 */
export function formatTime(date) {
  return clock.format(date);
}

/**
 * @param {Date} date
 * @returns {string} date and time, for the tooltip
 */
export function formatFull(date) {
  return full.format(date);
}

/**
 * @param {Date} date
 * @param {Date} today
 * @returns {string} Today, Yesterday, or the date with its weekday
 */
export function formatDay(date, today) {
  const days = Math.round((startOfDay(date) - startOfDay(today)) / 86_400_000);
  if (days === 0 || days === -1) return capitalize(relative.format(days, "day"));
  return (date.getFullYear() === today.getFullYear() ? thisYear : otherYear).format(date);
}

/**
 * @param {Date} date
 * @returns {string} equal for two times of one day
 */
export function dayKey(date) {
  return `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
}

/** @param {Date} date */
function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/** @param {string} text */
function capitalize(text) {
  return text.charAt(0).toLocaleUpperCase() + text.slice(1);
}
