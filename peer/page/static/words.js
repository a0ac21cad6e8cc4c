// Every word of the page, in English and Korean, and the language that it is in.

const WORDS = {
  // the frame
  otherLanguage: ["한국어", "English"],
  skip: ["Skip to the panels", "본문으로 건너뛰기"],
  connecting: ["Looking for the device …", "기기를 찾는 중 …"],
  looking: ["Looking for others", "다른 기기를 찾는 중"],
  asking: ["Asks to be let in", "허락을 기다리는 중"],
  ejected: ["Ejected", "내보내짐"],
  founding: ["Founding a run", "런을 새로 시작하는 중"],
  joining: ["Joining", "참여하는 중"],
  relaying: ["Relaying: no text to train on here", "전달만 하는 중: 여기에는 학습할 글이 없습니다"],
  training: ["Training", "학습 중"],
  resting: ["Resting", "쉬는 중"],
  paused: ["Paused", "일시 정지"],
  offline: ["No answer", "응답 없음"],
  stopped: ["Stopped", "멈춤"],
  left: ["Left", "나감"],
  stoppedBanner: [
    "This device has stopped. To go on, start .venv/bin/python -m peer --join on it again.",
    "이 기기는 멈췄습니다. 다시 시작하려면 이 기기에서 .venv/bin/python -m peer --join을 실행하세요.",
  ],
  ejectedBanner: [
    "Ejected: it trains its own copy. To come back, type its number on one that is in.",
    "내보내져 따로 학습하는 중입니다. 다시 들이려면 다른 기기에 번호를 입력하세요.",
  ],
  offlineBanner: [
    "The device does not answer. This page keeps trying.",
    "기기가 응답하지 않습니다. 계속 연결을 시도합니다.",
  ],
  problemBanner: ["Something could not be read: {problem}", "읽지 못한 것이 있습니다: {problem}"],
  tokenBanner: [
    "This page opens with its link. Scan its code again, or paste the link or its token here.",
    "이 페이지는 링크로 열어야 합니다. 코드를 다시 찍거나, 링크나 토큰을 여기에 붙여 넣으세요.",
  ],
  token: ["Link or token", "링크 또는 토큰"],
  open: ["Open", "열기"],

  // now
  now: ["Now", "지금"],
  guessesRight: ["of the time it guesses the next piece right.", "의 확률로 다음 조각을 맞힙니다."],
  guessesUnknown: [
    "How well it speaks is measured after the first rounds.",
    "얼마나 잘하는지는 첫 라운드가 끝나면 잽니다.",
  ],
  asksByNumber: [
    "is its number: press Admit at it on a device that is in, or type .venv/bin/python -m peer --admit {number} there.",
    "이 기기의 번호입니다. 참여 중인 기기에서 '들이기'를 누르거나 .venv/bin/python -m peer --admit {number}를 실행하세요.",
  ],
  asksUnheard: ["Not in yet: {problem}; it asks again.", "아직 못 들어옴: {problem}. 다시 요청합니다."],
  gains: ["It is still getting better.", "아직 나아지고 있습니다."],
  learnt: ["The chats are learnt. More text would help.", "대화를 다 배웠습니다. 글이 더 있으면 좋습니다."],
  run: ["Run", "런"],
  round: ["Round", "라운드"],
  roundProgress: ["{done} of {all} sequences of this round", "이번 라운드: 시퀀스 {all}개 중 {done}개"],
  heldOut: ["Held-out loss", "held-out 손실"],
  heldOutValue: ["{loss} ({bits} bits/byte)", "{loss} ({bits} 비트/바이트)"],
  best: ["Best", "가장 나은 것"],
  bestValue: ["{bits} bits/byte, round {round}", "{bits} 비트/바이트, 라운드 {round}"],
  speed: ["Speed of all", "모두 합친 속도"],
  tokensPerSecond: ["{value} tokens/s", "{value} 토큰/초"],
  size: ["Size", "크기"],
  sizeValue: ["{parameters} parameters ({size})", "파라미터 {parameters}개({size})"],
  seen: ["Trained so far", "지금까지 학습"],
  seenValue: ["{tokens} tokens", "토큰 {tokens}개"],
  newestSample: ["What it wrote after round {round}, {time}", "라운드 {round} 뒤에 쓴 글, {time}"],

  // who is here
  people: ["Who is here", "함께하는 기기"],
  nobody: ["Nobody yet.", "아직 아무도 없습니다."],
  thisDevice: ["this device", "이 기기"],
  phone: ["Phone", "휴대폰"],
  laptop: ["Laptop", "노트북"],
  unknown: ["Device", "기기"],
  share: ["Share of the last round", "지난 라운드에서 맡은 몫"],
  direct: ["connected directly", "직접 연결됨"],
  indirect: ["connected through another", "다른 기기를 거쳐 연결됨"],
  since: ["came {ago}", "{ago} 들어옴"],
  leftAt: ["left at {time}", "{time}에 나감"],
  rests: ["rests: {why}", "쉬는 중: {why}"],
  restsUntil: ["rests: {why}; it goes on {until}", "쉬는 중: {why}. {until} 이어 갑니다"],
  battery: ["battery {value}", "배터리 {value}"],
  upDown: ["{up} up, {down} down", "보냄 {up}, 받음 {down}"],

  // learning
  learning: ["Learning", "학습"],
  by: ["Along", "가로축"],
  time: ["Time", "시간"],
  tokens: ["Tokens", "토큰"],
  range: ["Range", "범위"],
  all: ["All", "전체"],
  lastDay: ["Day", "하루"],
  lastHour: ["Hour", "한 시간"],
  lossTitle: ["Loss: lower is better", "손실: 낮을수록 좋습니다"],
  throughput: ["Tokens per second, by device", "기기별 초당 토큰"],
  traffic: ["Traffic of this device", "이 기기의 통신량"],
  learningRate: ["Learning rate", "학습률"],
  more: ["Traffic and learning rate", "통신량과 학습률"],
  bitsPerByte: ["held-out bits/byte", "held-out 비트/바이트"],
  loss: ["training loss", "학습 손실"],
  bestMark: ["best {value}", "최저 {value}"],
  otherDevices: ["others", "그 밖"],
  sent: ["sent", "보냄"],
  received: ["received", "받음"],
  noRounds: ["The curves begin with the first round.", "첫 라운드가 끝나면 그래프가 나타납니다."],
  zoomHint: ["Drag to zoom, double-click for all.", "끌면 확대되고, 두 번 누르면 전체로 돌아갑니다."],
  learningSummary: [
    "Held-out bits per byte went from {first} to {last} by round {rounds}.",
    "라운드 {rounds}까지 held-out 비트/바이트: {first} → {last}",
  ],
  nothingJudged: ["Nothing has been measured on held-out text yet.", "떼어 둔 글로 아직 재지 않았습니다."],
  throughputSummary: [
    "Tokens per second of {devices}; {total} together in the last round.",
    "{devices}의 초당 토큰. 지난 라운드에는 모두 합쳐 {total}개.",
  ],

  // samples
  samples: ["What it wrote", "쓴 글"],
  noSamples: ["The first samples come after the first rounds.", "첫 글은 첫 라운드들이 지나면 나옵니다."],
  roundOf: ["Round {round}, {time}", "라운드 {round}, {time}"],

  // ask
  ask: ["Ask it", "말 걸기"],
  prompt: ["How it begins", "첫머리"],
  message: ["Your message", "보낼 말"],
  promptHint: ["Let's meet this evening", "오늘 저녁에"],
  chatMode: ["Chat", "대화하기"],
  temperature: ["Temperature", "온도"],
  temperatureHint: ["low: likely words; high: surprising ones", "낮으면 뻔한 말, 높으면 뜻밖의 말"],
  length: ["Length in tokens", "길이(토큰)"],
  state: ["Answered by", "대답하는 기기"],
  newestState: ["this device, newest state", "이 기기, 가장 새로운 상태"],
  send: ["Ask", "묻기"],
  stop: ["Stop", "그만"],
  clear: ["Start over", "처음부터"],
  answer: ["Answer", "대답"],
  thinking: ["Loading the model …", "모델을 불러오는 중 …"],
  youSay: ["You", "나"],
  itSays: ["It", "모델"],
  noModel: ["There is nothing to ask yet: {why}", "아직 물어볼 수 없습니다: {why}"],

  // your text
  text: ["Your text", "내 글"],
  stays: [
    "It stays on this device. What is learnt from it goes out, no text.",
    "이 기기를 떠나지 않습니다. 나가는 것은 배운 결과뿐입니다.",
  ],
  shared: [
    "It is shared: --share-data gives it to devices that ask.",
    "나눠 주는 중입니다: --share-data로 다른 기기가 받아 갈 수 있습니다.",
  ],
  messages: ["{count} messages", "메시지 {count}개"],
  masked: ["Masked", "가린 것"],
  tag: ["Tag", "태그"],
  before: ["Before", "가리기 전"],
  after: ["After", "가린 뒤"],
  maskedSamples: ["Examples, shown on this device alone", "예시(이 기기에서만 보입니다)"],
  noTexts: ["No text of its own.", "이 기기에는 글이 없습니다."],

  // buttons
  buttons: ["This device", "이 기기"],
  pause: ["Pause", "일시 정지"],
  goOn: ["Go on", "계속하기"],
  sync: ["Sync now", "지금 맞추기"],
  checkpoint: ["Save a checkpoint", "체크포인트 저장"],
  invite: ["Invite a device", "기기 초대"],
  doctor: ["Doctor", "진단"],
  quietHours: ["Quiet hours", "쉬는 시간대"],
  from: ["From", "시작"],
  to: ["To", "끝"],
  shareOfTime: ["Share of time", "쓰는 시간 비율"],
  keep: ["Keep", "적용"],
  none: ["None", "없애기"],
  door: ["Door", "문"],
  lock: ["Lock the run", "런 잠그기"],
  unlock: ["Open the run", "런 열기"],
  isLocked: ["Locked: only members take part.", "잠겨 있음: 구성원만 참여합니다."],
  isOutside: ["Not in yet.", "아직 못 들어옴."],
  isOpen: ["Open: whoever is on this network can take part.", "열려 있음: 이 네트워크의 누구나 참여할 수 있습니다."],
  knocks: ["{name} ({host}) asks to come in, number {number}.", "들어오려는 기기: {name} ({host}), 번호 {number}"],
  admit: ["Admit", "들이기"],
  eject: ["Eject …", "내보내기 …"],
  ejectWhom: ["Device to eject", "내보낼 기기"],
  page: ["This page", "이 페이지"],
  pageLan: ["Open it to the network", "네트워크에 열기"],
  pageLocal: ["Close it to the network", "네트워크에서 닫기"],
  pageRenew: ["New link", "새 링크"],
  working: ["One moment …", "잠시만요 …"],
  qr: ["A code for a camera", "카메라로 찍는 코드"],
  confirmTitle: ["Do this?", "실행할까요?"],
  yes: ["Yes", "예"],
  no: ["No", "아니요"],
  askPause: [
    "{name} stops training until you let it go on.",
    "{name}: 다시 켤 때까지 학습을 멈춥니다.",
  ],
  askGoOn: ["{name} goes on training.", "{name}: 학습을 이어 갑니다."],
  askSync: ["{name} exchanges what was learnt with the others now.", "{name}: 배운 것을 지금 다른 기기와 나눕니다."],
  askCheckpoint: ["{name} saves its state to the disk.", "{name}: 지금 상태를 디스크에 저장합니다."],
  askQuietHours: ["{name} rests from {begins} to {ends}, every day.", "{name}: 날마다 {begins}부터 {ends}까지 쉽니다."],
  askNoQuietHours: ["{name} has no quiet hours any more.", "{name}: 쉬는 시간대를 없앱니다."],
  askShare: ["{name} trains {share} of the time.", "{name}: 시간의 {share}만 학습합니다."],
  askLock: [
    "The key goes to this device and: {names}. Others knock.",
    "열쇠를 이 기기와 다음 기기에만 줍니다: {names}.",
  ],
  noOtherDevice: ["no other device", "다른 기기 없음"],
  askUnlock: ["Whoever is on this network can take part again.", "이 네트워크의 누구나 다시 참여할 수 있습니다."],
  askAdmit: [
    "{name} comes in. Its screen must show number {number}.",
    "{name}: 들입니다. 그 기기 화면의 번호가 {number}인지 보세요.",
  ],
  askEject: ["{name} is put out, and the run's key is changed.", "{name}: 내보내고 런의 열쇠를 바꿉니다."],
  askLan: [
    "Whoever has the link can see this page and press its buttons.",
    "링크를 가진 사람은 이 페이지를 보고 쓸 수 있습니다.",
  ],
  askLocal: ["Only this device can open it.", "이 기기에서만 열립니다."],
  askRenew: ["The old link stops working.", "전의 링크는 쓸 수 없게 됩니다."],

  // events
  events: ["What happened", "있었던 일"],
  filter: ["Show lines with", "찾기"],
  noEvents: ["Nothing yet.", "아직 없습니다."],
  noMatch: ["No line has this.", "해당하는 줄이 없습니다."],
};

const KEY = "cellmind-language";
const LANGUAGES = ["en", "ko"];

let current = stored() ?? ((navigator.language ?? "").toLowerCase().startsWith("ko") ? "ko" : "en");

function stored() {
  try {
    return LANGUAGES.find((one) => one === localStorage.getItem(KEY));
  } catch {
    return undefined; // a browser that keeps nothing for a page
  }
}

/** Take in more words: of a report. */
export const addWords = (more) => Object.assign(WORDS, more);

/** Return "en" or "ko". */
export const language = () => current;

/** Change to the other language, and remember it. */
export function switchLanguage() {
  current = current === "ko" ? "en" : "ko";
  try {
    localStorage.setItem(KEY, current);
  } catch {
    // then it is forgotten
  }
}

/** Return a text of the page in its language, each {name} in it filled in. */
export function t(key, values = {}) {
  const text = WORDS[key][LANGUAGES.indexOf(current)];
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** Put the words into all elements of index.html that name one. */
export function fillWords(root = document) {
  document.documentElement.lang = current;
  for (const node of root.querySelectorAll("[data-words]")) node.textContent = t(node.dataset.words);
  for (const node of root.querySelectorAll("[data-placeholder]")) node.placeholder = t(node.dataset.placeholder);
  for (const node of root.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
}
