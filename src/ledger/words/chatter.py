"""Words that every chat is full of and the lists of stop words lack, and words of these lists that are content."""

ENGLISH = """
awesome amazing great good nice cool super incredible fantastic wonderful excellent lovely beautiful gorgeous pretty
special happy glad excited exciting proud thrilled stoked pumped lucky grateful thankful sorry sad tough hard easy
difficult interesting perfect real true total absolute fun funny crazy huge big massive whole short low strong powerful
meaningful positive worth worthy fave fav favorite favourite ready wild sweet busy inspiring inspirational rewarding
magical peaceful calm passionate determined impressive solid epic fascinating stunning brilliant weird bad worse worst
ideal unique cute neat extra simple safe deep fresh lost smart brave courageous honest main certain major
love feel look sound seem make let put start happen try hope mean guess agree understand remember remind reminder forget
mind hear listen watch talk chat speak share meet catch pick choose hold stick stand sit leave live change push handle
deal manage reach achieve encourage encouragement inspire inspiration motivate motivation appreciate enjoy
surprise impress connect connection create explore experience discover grow growth learn succeed success successful
improve wait spend pay hang head bet totally check focus set pass follow add fit fall drop recharge
unwind relax express expression accept acceptance connect celebrate struggle overcome escape embrace figure
recommend suggestion tip advice rock crush nail dive blow hit mess worry expect imagine
stuff lot bit yesterday tomorrow tonight moment sort reason idea chance step level strength piece type kinda
joy happiness difference journey blast passion dedication determination perseverance challenge opportunity adventure
impact courage positivity confidence attitude vibe feeling emotion thought progress effort balance
perspective outlook resilience hardship setback fulfillment appreciation reminder hug luck
guy man folk everyone buddy dude bro girl boy pal pic pics update detail
hey hi hello yeah yep yes nope okay haha hahaha lol wow woah whoa woohoo aww thanks thx bye cheers congrats
congratulations omg gonna wanna gotta sorta lemme dunno cuz coz til gotcha ugh hmm yay yup sup hiya goodnight
bring come stay find think lose take heard spoke key chase admire refresh ton search matter commit commitment path
scary anytime elated savor grand sign uplift graceful trouble quit offer unknown decision cherish help wake
finally lately honestly literally basically constantly completely extremely incredibly surely
"""
"""Words of English chat that are no topic, not even in a pair; any form of them."""

ENGLISH_PARTS = """
support work group room place line life time day night morning evening week weekend month dream people person world
home face order fire ring state system number member photo picture care goal plan memory process quality value energy
list build
"""
"""English words that are a topic only together with another; any form of them."""

ENGLISH_TOPICS = """
business businesses computer computers research test tests testing tested novel novels invention adopted
"""
"""English words that the list of stop words holds, or that share the stem of chatter, and still are topics."""

CHINESE_PARTICLES = (
    "的了着过吗呢吧啊呀嘛哦嗯我你您他她它们这那哪是很也太都就还又不没把被让跟和与及或但而且谁最更非常真挺"
)
"""Characters that are function words by themselves and seldom part of another word."""

CHINESE_STARTS = "在去来要想给从到用做说吃看买对有得只好多再个些吗半一二三四五六七八九十两几"
CHINESE_ENDS = "在去来要想给从到得个些只再吗上下里次有"
"""Characters that few words with content begin with, and end with."""

CHINESE = """
今天 明天 昨天 最近 现在 时候 觉得 知道 喜欢 可以 一起 一下 真的 谢谢 你好 准备 打算
希望 应该 已经 开始 需要 还有 没有 然后 以后 之前 下周 上周 周末 加油 好的 早上 晚上
下午 有点 特别 自己 大家 东西 事情 问题 感觉 告诉 结束 意思 因为 所以 如果 什么 怎么
怎样 但是 而且
"""
"""Words of Chinese chat that are no topic."""

JAPANESE = """
私 僕 俺 君 人 今 日 時 事 方 前 後 中 何 誰 本当 今日 昨日 明日 今度 来週 先週
週末 最近 今年 来年 去年 今週 今回 今朝 今夜 一緒 自分 時間 大丈夫 大変 残念 最高 素敵
大好 毎日 少 多 気 次 一 二 三 楽 ありがとう 一番 予定 感 了解 お願 元気
"""
"""Nouns of Japanese chat that are no topic, and numerals."""

KOREAN = """
오늘 내일 어제 요즘 정말 진짜 너무 그냥 우리 저는 나는 제가 내가 같이 다시 많이 조금 아주
지금 이번 다음 주말 저도 나도 그게 이게 뭐가 네가 감사 좋은 그래서 그리고 언제 어디 어떤 무슨
이제 아직 계속
"""
"""Words of Korean chat that are no topic, with their particles."""

THAI = """
ครับ ค่ะ คะ นะ ฉัน ผม คุณ ไหม มาก ที่ และ ก็ วันนี้ พรุ่งนี้ เมื่อวาน ชอบ อยาก
จะ ไป ไม่ เป็น ของ
"""
"""Words of Thai chat that are no topic."""
