"""Word lists for finding names. They are to be read, and edited, as text."""

# ruff: noqa: SIM905

SURNAMES = (
    "김이박최정강조윤장임한오서신권황안송전홍유고문양손배백허남노심하주구곽성차우진류나민지"
    "엄채원천방공현함변염여추도소석선설마길"
)
LONG_SURNAMES = ("남궁", "황보", "제갈", "선우", "독고", "사공", "서문", "동방")

# Syllables that given names begin and end with: with these alone a part of a nickname is taken for a name.
FIRST_SYLLABLES = frozenset(
    "가강건겨경고광규근금기길나남다단대덕도동두라래로루리만명모무문미민범병보복봉빈상서석선설성세소솔송수숙순슬승"
    "시신아안애양여연영예오옥완용우욱운원월유윤율은을의이인일임자장재정제조종주준중지진찬창채철청초춘충태하한해향혁"
    "현형혜호홍화환효훈휘희"
)
SECOND_SYLLABLES = frozenset(
    "건경곤관광구국권규균근길나남녀단담대덕도동라란람랑래량련령로록룡리린림만명모무문미민배백범별병복봉빈상서석선설"
    "섭성세소솔수숙순슬승식신실심아안애양언연열엽영예오옥온완용우욱운웅원월유윤율은을익일자재정제조종주준중지진찬창채"
    "천철춘택태평필하학한해향헌혁현협형혜호홍화환효후훈휘흠희"
)

# Display names that are roles, and words that stand beside a name in one.
NOT_NAMES = frozenset(
    """
    회원님 you me unknown 오픈채팅봇 방장봇 관리자 엄마 아빠 어머니 아버지 할머니 할아버지 누나 언니 오빠 동생 형님
    이모 고모 삼촌 여보 자기 남편 아내 아들 친구 우리 사용자 회원 손님 방장 부방장 회장 총무 반장 팀장 과장 부장 차장
    대리 사원 실장 원장 사장 대표 교수 강사 선생님 선생 매니저 코치 감독 담임 학부모 남자 여자 직장 학교 회사 개발
    기획 영업 마케팅 디자인 운영 총괄 공무원 간호사 개발자 직장인 대학생 취준생 디자이너 기획자 admin user bot guest
    official team mom dad
    """.split()
) | {"알 수 없음", "(알 수 없음)"}

# Places that people put into an open chat's nickname (`분당/철수/85`).
PLACES = frozenset(
    """
    서울 부산 대구 인천 광주 대전 울산 세종 경기 강원 충북 충남 전북 전남 경북 경남 제주 수원 성남 분당 판교 용인 수지
    고양 일산 부천 안양 평촌 안산 화성 동탄 평택 파주 운정 김포 시흥 광명 군포 산본 하남 미사 구리 양주 이천 여주 안성
    오산 과천 강남 서초 송파 잠실 강동 마포 홍대 용산 종로 중구 성동 광진 건대 중랑 성북 강북 도봉 노원 은평 양천 목동
    강서 구로 금천 동작 관악 신림 영등포 여의도 천안 아산 청주 충주 전주 익산 군산 목포 여수 순천 광양 포항 구미 경주
    창원 마산 진해 김해 양산 진주 거제 통영 춘천 원주 강릉 속초 해외 미국 일본 중국 호주 캐나다 영국 독일 수도권 지방
    """.split()
)

# Given names that are said far more often as words: names only in full, or when somebody is called by them.
COMMON_WORDS = frozenset(
    """
    가람 가수 가을 가인 가정 가지 간호 감사 강산 강한 개성 건지 겨우 겨울 경기 경우 경주 경지 경향 경호 고문 고민 고백
    고수 고아 고운 고은 고향 공원 공주 광주 구름 구현 국민 근래 금성 기대 기도 기본 기쁨 기수 기술 기억 기운 기자 기준
    기호 나라 나래 나무 나비 나온 나은 나중 남녀 남성 남주 노을 누리 다리 다만 다솜 다운 다정 다해 단비 단순 단연 단지
    대기 대로 대우 대중 대표 대학 대한 대해 대화 도덕 도도 도시 도안 동경 동기 동성 동심 동안 동원 동화 두리 마루 마리
    마음 만나 만남 만세 만화 말자 명복 명성 명수 명예 명화 모순 모아 모양 모자 무대 무리 무섭 무언 무협 문명 문신 문자
    문제 문학 문화 미녀 미덕 미라 미래 미련 미리 미모 미소 미정 미주 미진 미학 미화 민주 바다 별이 보라 보람 보리 보배
    보석 보수 보아 복선 복수 봄이 빛나 사라 사랑 상관 상담 상대 상상 상수 상식 상실 상영 상인 상주 상태 상호 새롬 새벽
    샛별 서로 서정 선물 선배 선수 선율 선진 선택 선호 설마 설명 설정 성경 성공 성실 성우 성원 성인 성향 세계 세대 세라
    세상 세월 소녀 소리 소망 소문 소설 소수 소식 소원 소유 소재 소주 소중 소진 소화 솔로 수도 수록 수성 수수 수시 수영
    수원 수정 수준 수지 수호 순수 순정 슬기 승리 승부 승진 시간 시내 시대 시도 시민 시선 시안 시원 시인 시작 신경 신나
    신비 신선 신호 신화 아라 아름 아린 아무 아예 아이 아주 애정 애환 양심 엄지 여름 여백 여성 여신 여우 여운 여유 여정
    여주 연기 연습 연애 연인 연주 연하 열매 영광 영구 영상 영웅 영원 영재 영주 영향 영화 예나 예상 예수 예술 예정 예지
    오래 오만 오해 오후 완성 용기 용서 우리 우선 우연 우정 우주 운동 운명 원래 원수 원주 유령 유리 유명 유선 유성 유아
    유지 유학 윤리 은근 은유 은하 은혜 의도 의리 의문 의미 의사 의상 의식 의심 의지 이나 이든 이루 이름 이미 이민 이별
    이상 이성 이슬 이유 이제 이해 이후 인간 인권 인기 인도 인사 인상 인성 인수 인식 인연 인재 인정 인하 인형 일단 일상
    자리 자세 자식 자신 자아 자연 자유 자주 장소 장애 재기 재미 재주 재현 전주 전진 정기 정도 정리 정말 정상 정서 정석
    정성 정수 정식 정신 정원 정의 정조 정지 제대 제일 조건 조금 조명 조연 조용 조은 조화 존재 종식 종일 주기 주소 주식
    주연 주옥 주의 주인 주제 중기 중심 지구 지금 지나 지도 지만 지성 지수 지연 지원 지은 지인 지하 지혜 진리 진솔 진수
    진실 진심 진영 진정 진주 진지 진행 진화 차라 창조 천사 철학 청소 청주 청춘 초대 초롱 충주 태도 태양 평소 평화 하나
    하늘 하라 하루 하지 한결 한국 한별 한솔 한심 한참 한창 해도 해서 해석 햇살 행복 향수 향연 혁명 현대 현상 현실 현재
    형식 형제 형태 혜성 호구 화성 환경 환상 환희 효과 희대 희망 희열
    """.split()
)

# Words in which one of them seems to be called.
KEPT = frozenset("하나님 마리아 우리나라".split())

# Given names that are the stem of a verb as well, and the endings that make one of them.
VERB_STEMS = frozenset("지우 태우 재우 채우 세우 비우 도우".split())
VERB_ENDINGS = "고 지 진 질 면 는 네(?!집) 기 려 라 자 세 시 겠 었 던 게 다 니 나 며 러 든 래 느 도록".split()

HONORIFICS = "씨 님 형 누나 언니 오빠 쌤 샘 선배 군 양 선생님 삼촌 이모".split()
# What a given name takes, in pairs where it matters: after a vowel, after a consonant.
OPEN_PARTICLES = "야 가 는 를 랑 와 여 였어 였는데 였음 였지 예요".split()
CLOSED_PARTICLES = "아 은 을 과 이야 이가 이는 이를 이랑 이와 이였어 이었어 이예요".split()
PARTICLES = (
    """
    이 의 도 만 네 로 에 께 나 란 면 다 요 죠 지 임 거 꺼 껀 건 걸 냐 니 래 한테 한테서 에게 에게서 에서 께서 하고
    이나 부터 까지 보다 처럼 같이 같은 마저 조차 밖에 뿐 대로 만큼 라고 라는 라도 라서 라며 라니 라던데 라는데 든지
    든가 인데 인가 인지 인듯 말고 야말로 에요 이에요 입니다 네요 잖아 거든 구나 후배 는 가 를 랑 은 을 야 아 빼고
    때문에 땜에 덕분에 보고 대신 없이
    한텐 에겐 께선 니까 니깐 였다 였대 였네 였구나 었다 었대 었네 었구나 이다 더라 더러 랬어 보단 까진 두 라면 라니까
    라던 인줄 인거
    """.split()
    + HONORIFICS
)
# After these anything may follow without a space (`철수야빨리와`, `민준이생일`).
GLUED = """
    한테 에게 랑 씨 님 형 누나 언니 오빠 쌤 선배 때문 땜 덕분 보고 빼고 말고 하고 네집 엄마 아빠 어머니 아버지 생일
    얘기 이야기 전화 번호 대리 과장 팀장 부장 차장 사장 실장 원장 회장 교수 집에 어디 언제 왜 뭐 빨리 지금 오늘 내일
    어제 축하 안녕 미안 고마 사랑해
    """.split()

# First names and surnames that are English words as well: masked as a part of a full name only.
ENGLISH_WORDS = frozenset(
    """
    ace amber angel april apr art aug august autumn baker ball bay bell bill black bob brown buddy bush carol chance
    charity chase chip christian cliff cook crystal daisy dale dawn day dean dec dick don drew duke earl faith feb
    fisher forest frank gene glen grace grant gray green guy harmony hazel heath heaven hill holly honey hope hunter
    iris ivy jan jean jet joy jul july jun june junior king kitty lane lily long lucky major mar mark mason max may
    melody mercy miles min mon moon nick norm nov oct olive page park pat patience pearl peg penny price prince queen
    ray red reed rice rich river rob robin rocky rose ruby rusty sandy sat sea sep sky song star stone sue summer sun
    sunny terry tom tony trip van victor violet wade ward white will winter wood woods young the and you for love baby
    happy smile life dream hello bye good bad big little new old best super real the mother father sister brother
    teacher doctor boss manager leader member friend company office home school seoul busan korea phone galaxy iphone
    """.split()
)
