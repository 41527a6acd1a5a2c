"""Sentences of templates of HEARTBEAT.md, which are no work: about the file itself, or that nothing is there yet.

Recognized as a whole, in some languages. A sentence that is not recognized is work: a template taken for a checklist
costs a call now and then, a checklist taken for a template would be silence.
"""
# ruff: noqa: RUF001 - full-width marks are meant

import re

_FILE = "(?:file|document|template|section|list|heartbeat file)"
_NOUN = "(?:tasks?|checks?|items?|entries|reminders?|instructions?|checklists?|jobs?|todos?|work)"
_YET = (
    "(?: (?:yet|configured|defined|set|up|scheduled|added|here|for|now|at|the|moment|currently|right|active|pending"
    "|exists?|listed|so|far|planned|to|do|check))*"
)
_KIND = "(?:(?:your|own|periodic|recurring|any|new|more|custom|some|the|active|heartbeat|short|a|an) )*"
_IN_HERE = "(?:here|below|(?:in|to) this (?:file|section|list)|under this (?:line|heading))"
_SMALL = "(?:empty|blank|small|short|minimal|concise)"
_HAS = "(?:is|has|contains|holds|stays|remains)(?: effectively| currently)?"
_ANSWER = "(?:just |only |simply |always )?(?:reply|respond|return|answer|output|say)?"

_ENGLISH = (
    f"(?:this|the|your) {_FILE} (?:is|are|was|will|gets|tracks|controls|defines|contains|configures|describes)\\b.*",
    f"(?:this|the|your) {_FILE} (?:lists|holds|tells|can|lets|drives|has no)\\b.*",
    f"(?:please )?(?:keep|leave) (?:this|the) {_FILE} (?:effectively )?{_SMALL}\\b.*",
    f"(?:please )?edit (?:this|the) {_FILE}\\b.*",
    f"(?:if|when|while|as long as) (?:this|the) {_FILE} {_HAS} (?:empty|no|only|nothing|blank|missing)\\b.*",
    f"(?:please )?(?:add|put|write|list|place|describe|define|insert) {_KIND}{_NOUN}\\b[^,;]* {_IN_HERE}\\b.*",
    f"(?:move|put) (?:completed|finished|done) {_NOUN} (?:here|below|to this)\\b.*",
    "(?:delete|remove|replace|fill in) (?:this|these) (?:lines?|section|text|placeholder|comment|examples?)\\b.*",
    f"(?:there (?:is|are) )?(?:currently |right now )?no (?:\\w+ ){{0,2}}?{_NOUN}{_YET}",
    f"(?:there is )?nothing{_YET}",
    f"(?:none|empty|n/?a|tbd|tba|todo|placeholder|optional|examples?){_YET}",
    "to be (?:filled|added|defined|determined|written)\\b(?: \\w+){0,3}",
    "(?:your |the )?(?:agent|assistant) (?:fills|will fill|updates|maintains|writes) (?:this|it)\\b.*",
    "(?:updated|generated|maintained|filled) automatically\\b.*",
    "(?:auto-?generated|automatically (?:updated|generated|maintained))\\b.*",
    "unlike .*\\.md\\b.*",
    f"(?:if|when) (?:nothing|no |all (?:is )?(?:clear|well|good))[^,]*,? *{_ANSWER}[^,.]{{0,20}}heartbeat_ok",
    f"{_ANSWER}(?: with)?(?: exactly| only)?:? ?heartbeat_ok",
)
_OF_KIND = "(?:定期|周期性|活动|活動|心跳|待办)?"
_CHINESE = (
    "(?:请)?(?:此|本|这个|该|這個)(?:文件|文档|清单|部分|檔案|文檔).*",
    "(?:请|請)?(?:在|于)(?:此|这里|這裡|下面|下方|此处|此處|以下|这一行).*(?:添加|填写|加入|写|新增|填寫|寫).*",
    "(?:请)?(?:保持|保留)(?:此|本)?(?:文件|檔案)(?:为|為)?空.*",
    "(?:如果|若|当|當)(?:此|本|这个|這個)?(?:文件|檔案)(?:中|里)?(?:没有|沒有|为空|為空|只有|是空).*",
    "(?:将|把|將)(?:已)?完成的(?:任务|事项|任務|事項).*(?:移|删|刪).*",
    f"(?:目前|当前|暂时|現在)?(?:暂无|暫無|没有|沒有|无|無|尚无|尚無)(?:任何)?{_OF_KIND}(?:任务|任務|检查项?|内容|事项|事項)?",
    "空|待补充|待添加|待定|待填写|添加任务以启用定期检查|添加(?:任务|事项)(?:到)?(?:此处|这里|下面)",
)
_OTHERS = (
    # Japanese, Korean
    "この(?:ファイル|文書|セクション)(?:は|を|が|に).*|(?:ここ|以下|下|この下)に.*(?:追加|記入|書いて|書く|記載).*",
    "(?:定期)?(?:タスク|項目|作業)?(?:は)?(?:まだ)?(?:なし|ありません|未設定|未定)",
    "이 파일(?:은|이|을|에).*|(?:여기|아래)에 .*(?:추가|작성|입력).*|(?:작업 |할 일 )?없음|비어 있음|아직 없음",
    "(?:아직 )?(?:작업|할 일)이 없습니다",
    # German, French
    "diese datei (?:ist|wird|enthält|steuert|legt|dient)\\b.*",
    "(?:füge|fügen sie|trage|tragen sie|schreibe) .*(?:hier|unten|darunter)\\b.*",
    "(?:noch |derzeit |aktuell )?keine (?:\\w+ )?(?:aufgaben|einträge|tasks)(?: \\w+){0,2}|leer|keine|nichts",
    "ce fichier (?:est|sera|contient|définit|contrôle)\\b.*|ajoute[zr]? .*(?:ici|ci-dessous|dessous)\\b.*",
    "(?:aucune?|pas de) (?:tâches?|éléments?)(?: \\w+){0,3}|vide|aucune?|rien|néant",
    # Spanish, Portuguese
    "este (?:archivo|fichero|documento|arquivo|ficheiro) (?:es|se|será|contiene|define|controla|é|contém)\\b.*",
    "(?:agrega|añade|agregue|añada|agregar|añadir|adicione|adicionar) .*(?:aquí|abajo|debajo|aqui|abaixo)\\b.*",
    "(?:no hay|sin|ninguna|nenhuma|sem|não há) (?:\\w+ )?(?:tareas?|tarefas?|elementos?|itens)(?: \\w+){0,3}",
    "vacío|vazio|ningun[ao]|nenhuma?|nada",
    # Italian, Russian
    "questo file (?:è|viene|contiene|definisce)\\b.*|aggiungi .*(?:qui|sotto)\\b.*",
    "nessun[a]? (?:attività|compito)(?: \\w+){0,3}|vuoto|nessuno|niente",
    "этот файл .*|добавь(?:те)? .*(?:сюда|ниже|здесь).*|пусто|нет",
    "(?:пока )?(?:нет|никаких) (?:\\w+ )?задач(?: \\w+){0,2}",
)
_TEMPLATE = re.compile("|".join(f"(?:{pattern})" for pattern in (*_ENGLISH, *_CHINESE, *_OTHERS)))

_SLOT = re.compile(r"\[[^\]]{3,}\]|<[^<>!]{3,}>|\{\{?[^{}]{3,}\}?\}")  # [Add a task]
_ASIDE = re.compile(r"[_*]+[(（].*[)）][.。]?[_*]+")  # _(Things the agent checks)_
_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*|\n")
_GOES_ON = re.compile(r"(?<![.!?:。！？])[ \t]*\n[ \t>]*(?=[a-z(),])")
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
