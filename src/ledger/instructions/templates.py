"""Sentences of templates of HEARTBEAT.md, which are no work: about the file itself, or that nothing is there yet.

Recognized as a whole, in some languages. A sentence that is not recognized is work: a template taken for a checklist
costs a call now and then, a checklist taken for a template would be silence.
"""
# ruff: noqa: RUF001 - full-width marks are meant

import re

_ANY = "[^:;：；]*"  # what follows a colon is another matter
_SELF = "(?:this (?:heartbeat(?:\\.md)? )?(?:file|document|template|section)|(?:the|your) heartbeat file)"
_NOUN = "(?:tasks?|checks?|items?|entries|reminders?|instructions?|checklists?|jobs?|todos?|work)"
_YET = (
    "(?: (?:yet|configured|defined|set|up|scheduled|added|here|for|now|at|the|moment|currently|right|active|pending"
    "|exists?|listed|so|far|planned|to|do|check))*"
)
_KIND = "(?:(?:your|own|periodic|recurring|any|new|more|custom|some|the|active|heartbeat|short|a|an) )*"
_IN_HERE = "(?:here|below|(?:in|to) this (?:file|section|list)|under this (?:line|heading))"
_SO_THAT = f"(?:,? (?:when|whenever|that|which|if|to|as|once|so)\\b{_ANY})?"
_NO_CALL = "\\b(?:skip\\w*|heartbeats?|nothing (?:will|happens)|ignor\\w+|no calls?)\\b"
_SMALL = "(?:empty|blank|small|short|minimal|concise)"
_HAS = "(?:is|has|contains|holds|stays|remains)(?: effectively| currently)?"
_ANSWER = "(?:just |only |simply |always )?(?:reply|respond|return|answer|output|say)?"

_ENGLISH = (
    f"{_SELF} (?:is|are|was|will|gets|tracks|controls|defines|contains|configures|describes)\\b{_ANY}",
    f"{_SELF} (?:lists|holds|tells|can|lets|drives|has no)\\b{_ANY}",
    f"(?:please )?(?:keep|leave) {_SELF} (?:effectively )?{_SMALL}\\b{_ANY}",
    f"(?:please )?edit {_SELF}(?: to\\b{_ANY})?",
    f"(?:if|when|while|as long as) {_SELF} {_HAS} (?:empty|no|only|nothing|blank|missing)\\b{_ANY}{_NO_CALL}{_ANY}",
    f"(?:please )?(?:add|put|write|list|place|describe|define|insert) {_KIND}{_NOUN} {_IN_HERE}{_SO_THAT}",
    f"(?:move|put) (?:completed|finished|done) {_NOUN} (?:here|below|to this)\\b{_ANY}",
    f"(?:delete|remove|replace|fill in) (?:this|these) (?:lines?|section|text|placeholder|comment|examples?){_SO_THAT}",
    f"(?:there (?:is|are) )?(?:currently |right now )?no (?:\\w+ ){{0,2}}?{_NOUN}{_YET}",
    f"(?:there is )?nothing{_YET}",
    f"(?:none|empty|n/?a|tbd|tba|todo|placeholder|optional|examples?){_YET}",
    "to be (?:filled|added|defined|determined|written)\\b(?: \\w+){0,3}",
    f"(?:your |the )?(?:agent|assistant) (?:fills|will fill|updates|maintains|writes) (?:this|it)\\b{_ANY}",
    f"(?:updated|generated|maintained|filled) automatically\\b{_ANY}",
    f"(?:auto-?generated|automatically (?:updated|generated|maintained))\\b{_ANY}",
    f"unlike {_ANY}\\.md\\b{_ANY}",
    f"(?:if|when) (?:nothing|no |all (?:is )?(?:clear|well|good))[^,]*,? *{_ANSWER}[^,.]{{0,20}}heartbeat_ok",
    f"{_ANSWER}(?: with)?(?: exactly| only)?:? ?heartbeat_ok",
)
_OF_KIND = "(?:定期|周期性|活动|活動|心跳|待办)?"
_CHINESE = (
    f"(?:请)?(?:此|本|这个|该|這個)(?:文件|文档|清单|部分|檔案|文檔){_ANY}",
    f"(?:请|請)?(?:在|于)(?:此|这里|這裡|下面|下方|此处|此處|以下|这一行){_ANY}(?:添加|填写|加入|写|新增|填寫|寫){_ANY}",
    f"(?:请)?(?:保持|保留)(?:此|本)?(?:文件|檔案)(?:为|為)?空{_ANY}",
    f"(?:如果|若|当|當)(?:此|本|这个|這個)?(?:文件|檔案)(?:中|里)?(?:没有|沒有|为空|為空|只有|是空){_ANY}",
    f"(?:将|把|將)(?:已)?完成的(?:任务|事项|任務|事項){_ANY}(?:移|删|刪){_ANY}",
    f"(?:目前|当前|暂时|現在)?(?:暂无|暫無|没有|沒有|无|無|尚无|尚無)(?:任何)?{_OF_KIND}(?:任务|任務|检查项?|内容|事项|事項)?",
    "空|待补充|待添加|待定|待填写|添加任务以启用定期检查|添加(?:任务|事项)(?:到)?(?:此处|这里|下面)",
)
_OTHERS = (
    # Japanese, Korean
    f"この(?:ファイル|文書|セクション)(?:は|を|が|に){_ANY}|(?:ここ|以下|下|この下)に{_ANY}(?:追加|記入|書いて|書く|記載){_ANY}",
    "(?:定期)?(?:タスク|項目|作業)?(?:は)?(?:まだ)?(?:なし|ありません|未設定|未定)",
    f"이 파일(?:은|이|을|에){_ANY}|(?:여기|아래)에 {_ANY}(?:추가|작성|입력){_ANY}",
    "(?:작업 |할 일 )?없음|비어 있음|아직 없음",
    "(?:아직 )?(?:작업|할 일)이 없습니다",
    # German, French
    f"diese datei (?:ist|wird|enthält|steuert|legt|dient)\\b{_ANY}",
    f"(?:füge|fügen sie|trage|tragen sie|schreibe) {_ANY}(?:hier|unten|darunter)\\b{_ANY}",
    "(?:noch |derzeit |aktuell )?keine (?:\\w+ )?(?:aufgaben|einträge|tasks)(?: \\w+){0,2}|leer|keine|nichts",
    f"ce fichier (?:est|sera|contient|définit|contrôle)\\b{_ANY}|ajoute[zr]? {_ANY}(?:ici|ci-dessous|dessous)\\b{_ANY}",
    "(?:aucune?|pas de) (?:tâches?|éléments?)(?: \\w+){0,3}|vide|aucune?|rien|néant",
    # Spanish, Portuguese
    f"este (?:archivo|fichero|documento|arquivo|ficheiro) (?:es|se|será|contiene|define|controla|é|contém)\\b{_ANY}",
    f"(?:agrega|añade|agregue|añada|agregar|añadir|adicione) {_ANY}(?:aquí|abajo|debajo|aqui|abaixo)\\b{_ANY}",
    "(?:no hay|sin|ninguna|nenhuma|sem|não há) (?:\\w+ )?(?:tareas?|tarefas?|elementos?|itens)(?: \\w+){0,3}",
    "vacío|vazio|ningun[ao]|nenhuma?|nada",
    # Italian, Russian
    f"questo file (?:è|viene|contiene|definisce)\\b{_ANY}|aggiungi {_ANY}(?:qui|sotto)\\b{_ANY}",
    "nessun[a]? (?:attività|compito)(?: \\w+){0,3}|vuoto|nessuno|niente",
    f"этот файл {_ANY}|добавь(?:те)? {_ANY}(?:сюда|ниже|здесь){_ANY}|пусто|нет",
    "(?:пока )?(?:нет|никаких) (?:\\w+ )?задач(?: \\w+){0,2}",
)
_TEMPLATE = re.compile("|".join(f"(?:{pattern})" for pattern in (*_ENGLISH, *_CHINESE, *_OTHERS)))

_SLOT = re.compile(  # [Add a task here]
    r"[\[<{]{1,2}(?:add|your|insert|describe|enter|write|put|fill|example|task|item|todo|what|aufgabe|tarea|tarefa|tâche|attività|задача|任务|タスク)\b[^\[\]<>{}:]*[\]>}]{1,2}",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"[_*]+[(（].*[)）][.。]?[_*]+")  # _(Things the agent checks)_
_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*|\n")
_GOES_ON = re.compile(r"(?<![.!?:。！？])[ \t]{0,8}\n[ \t>]{0,40}(?=[a-z(),])")
_EMPHASIS = re.compile(r"[*_`]+(?=\W|$)|(?<!\w)[*_`]+")
_MARKS = " \t*_`~\"'“”>|·•.。!！?？:：…–—()（）-\u200b\u200d\ufe0f\ufeff\u2060\xa0"


def is_template(text: str) -> bool:
    """Whether a paragraph or item says nothing but what stands in templates."""
    bare = text.strip()
    if _ASIDE.fullmatch(bare) or _SLOT.fullmatch(bare.strip("*_` ")):
        return True
    return all(_stands_in_templates(sentence) for sentence in _ENDS.split(_GOES_ON.sub(" ", bare)))


def _stands_in_templates(sentence: str) -> bool:
    plain = _EMPHASIS.sub("", sentence).strip(_MARKS).lower()
    return not plain or _TEMPLATE.fullmatch(plain) is not None
