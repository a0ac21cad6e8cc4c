// What the device says, in Korean: its lines and answers come in English, with their kind and the values in them.

import { number, short } from "./format.js";
import { language, t } from "./words.js";

const KOREAN = {
  // who is here
  joined: "{name} 들어옴 ({host})",
  left: "{name} 나감",
  found: "{name} 찾음 ({host})",
  rests: "{name}: 쉬는 중({why})",
  trains_again: "{name}: 다시 학습합니다",

  // the run
  looking_for: "'{run}' 런을 찾는 중 …",
  founded: "'{run}'을 새로 시작했습니다: {run_id}",
  joined_run: "{run_id}에 참여: 라운드 {round}, {name}에서 받음",
  goes_on_with: "{run_id}: 라운드 {round}부터 이어 갑니다",
  keeps_state: "{name}의 상태를 보관합니다: 라운드 {round}",
  begins: "{name}: 파라미터 {parameters}개, 시퀀스 {sequences}개로 학습합니다",
  progress: "라운드 {round}: 시퀀스 {total}개 중 {done}개",
  held_out_at_start: "시작할 때 held-out 손실: {loss} ({bits} 비트/바이트)",
  held_out_anew: "시작할 때 held-out 손실: {loss}. 라운드에서는 평균을 재므로 더 낮습니다",
  took_state: "{name}의 새 상태를 받았습니다: 라운드 {round}",
  went_back: "{name}의 상태를 받기 전(라운드 {round})으로 되돌렸습니다",
  other_went_back: "{name}: 라운드 {round}로 되돌림",
  compiling: "모델을 컴파일하는 중 …",
  compiled: "컴파일했습니다: {gain}배 빨라졌습니다",
  compiled_in_vain: "컴파일해도 빨라지지 않습니다",
  learnt: "대화를 다 배웠습니다(라운드 {round}, held-out {loss}). data/raw에 대화를 더 넣으면 좋습니다",
  new_chats: "data/raw에 새 대화가 있어 그것으로 다시 시작합니다",
  new_chats_to_prepare: "data/raw에 새 대화가 있습니다. python -m data를 실행하고 다시 시작하세요",
  training_rests: "학습을 쉽니다: {why}. {until} 이어 갑니다",
  training_goes_on: "학습을 이어 갑니다",
  saving: "저장 중 …",
  goodbye: "끝냈습니다",

  // the network
  listens: "{name}: {host}에서 다른 기기를 기다립니다",
  network_again: "네트워크를 다시 시작했습니다: {address}",
  page: "페이지: {url}",
  page_again: "페이지가 멈춰 다시 시작했습니다: {url}",
  invite: "다른 기기에서: .venv/bin/python -m peer --join {invite}",

  // the door
  is_open: () => t("isOpen"),
  is_locked: () => t("isLocked"),
  locked: "런이 잠겼습니다. 기기 {count}대만 참여합니다",
  opened: () => t("askUnlock"),
  asks_in: "허락을 기다립니다: 번호 {number}",
  not_in: ({ why }) => t("asksUnheard", { problem: reason(why) }),
  how_to_admit: "같은 번호가 보이는 기기에서 들이세요",
  how_to_found: "새 런을 시작하려면: python -m peer --join --run NAME",
  let_in: "들어왔습니다. 번호를 입력한 사람이 없다면 끝내세요",
  let_in_by: "{name}({host})에서 들여보냈습니다. 번호를 입력한 사람이 없다면 끝내세요",
  ejected: () => t("ejectedBanner"),
  member_ejected: "{by}에서 내보냄: {name}. 열쇠를 바꿨습니다",
  member_let_in: "{by}에서 들임: {name}",
  came_by_invite: "초대로 들어옴: {name}",
  knocks_again: (values) => `내보냈던 기기: ${t("knocks", values)}`,
  knocks: (values) => t("knocks", values),

  // answers to buttons
  paused: "다시 켤 때까지 학습을 쉽니다",
  no_quiet_hours: "쉬는 시간대를 없앴습니다",
  quiet_hours: "{begins}부터 {ends}까지 학습하지 않습니다",
  share_of_time: "시간의 {share} %만 학습합니다",
  sync: "다른 기기가 준비되는 대로 나눕니다",
  checkpoint: "체크포인트를 저장하고 있습니다",
  invite_made: "다른 기기에서 이 줄을 실행하세요",
  admitted: "{name}: 들였습니다",
  has_ejected: "{name}: 내보냈고 열쇠를 바꿨습니다",
  nobody_knocks: "{number}번으로 들어오려는 기기가 없습니다",
  same_number: "번호가 같아 들이지 않았습니다: {names}",
  knock_is_lost: "{name}: 새 번호를 기다리세요",
  came_meanwhile: "그사이 {name} 들어옴. 다시 확인하세요",
  no_such_member: "그런 구성원이 없습니다",
  same_name: "이름이 같습니다: {names}",
  not_locked: "먼저 런을 잠그세요",
  locked_already: () => t("isLocked"),
  open_already: () => t("isOpen"),
  was_ejected: () => t("ejectedBanner"),
  not_in_yet: () => t("isOutside"),
  no_run: "아직 참여한 런이 없습니다",
  not_kept: "바꾸지 못했습니다: {why}",
  page_alone: () => t("askLocal"),
  page_lan: () => t("askLan"),
  no_answer: "이 기기의 피어가 응답하지 않습니다",
  no_invite: "아직 초대가 없습니다",
  busy: "이미 하는 중입니다",
  asked_busy: "그 기기는 다른 대답을 하는 중이거나 이 기기를 아직 모릅니다",
  asked_rests: "그 기기는 쉬는 중입니다",
  asked_no_model: "그 기기는 아직 대답할 수 없습니다",
  asked_failed: "그 기기가 대답하지 않았습니다",
  no_network: "이 기기는 네트워크에 연결되어 있지 않습니다",
};

// why a device rests and until when, is not in, or could not do something, as its own words come from it
const REASONS = [
  [/^battery at (\d+ %)$/, "배터리 $1"],
  [/^battery at (-?\d+ °C)$/, "배터리 온도 $1"],
  [/^processor at (-?\d+ °C)$/, "프로세서 온도 $1"],
  [/^paused by its owner$/, "주인이 멈춤"],
  [/^quiet hours until (.+)$/, "$1까지 쉬는 시간대"],
  [/^its self-test failed$/, "자체 검사 실패"],
  [/^its chats are learnt$/, "대화를 다 배움"],
  [/^the chats of the others are learnt$/, "다른 기기의 대화를 다 배움"],
  [/^at (\d+ %) or on a charger$/, "$1가 되거나 충전하면"],
  [/^at (-?\d+ °C)$/, "$1로 식으면"],
  [/^at (\d\d:\d\d)$/, "$1에"],
  [/^when its owner says so$/, "주인이 켜면"],
  [/^when there is new text, .*/, "이 기기나 다른 기기에 새 글이 생기면"],
  [/^no answer$/, "응답 없음"],
  [/^(it has knocked |\d+ knocks were ).*/, "요청이 너무 잦음"],
  [/^nobody has let it in .*/, "2분 안에 들인 사람이 없음"],
  [/^it(s knock is over| has not knocked| shows ).*/, "요청이 끝남"],
  [/^whoever has let it in .*/, "다른 런의 기기가 들임"],
  [/^No space left .*/, "디스크가 가득 참"],
];

/** Return such a reason in the page's language. */
export function reason(text) {
  const [found, korean] = (language() === "ko" && REASONS.find(([english]) => english.test(text))) || [];
  return found ? text.replace(found, korean) : text;
}

/** Return a line or an answer in the page's language; in English where it is of no kind that is known here. */
export function spoken({ text, kind, values }) {
  if (language() !== "ko" || !values) return text;
  if (kind === "round") return round(values);
  if (!Object.hasOwn(KOREAN, kind)) return text;
  const words = KOREAN[kind];
  if (typeof words === "function") return words(values);
  return words.replace(/\{(\w+)\}/g, (_, name) => written(name, values[name]));
}

function written(name, value) {
  if (name === "why" || name === "until") return reason(String(value));
  if (name === "parameters") return short(value);
  if (name === "share") return number(100 * value);
  if (name === "round") return String(value);
  return typeof value === "number" ? number(value, name === "gain" ? 2 : 3) : String(value ?? "");
}

/** Return what is said of a round that is over. */
function round({ round, loss, held_out: heldOut, bits, speed, names }) {
  const parts = [`라운드 ${round}`];
  if (loss !== undefined) parts.push(`손실 ${number(loss, 3, 3)}`);
  if (heldOut !== undefined) parts.push(`held-out ${number(heldOut, 3, 3)} (${number(bits, 3, 3)} 비트/바이트)`);
  if (speed !== undefined) parts.push(`${number(speed)} 토큰/초`);
  return [...parts, names ? `함께: ${names}` : "혼자"].join(" · ");
}
