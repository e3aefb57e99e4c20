//! The one catalogue of everything that the pages say, in both languages.

/// Makes the catalogue's type and its two languages from one list, so that no text can be missing in one of them.
macro_rules! catalogue {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        /// A language of the catalogue.
        #[derive(Debug)]
        #[allow(missing_docs, reason = "the texts say themselves what they are")]
        pub struct Messages {
            $(pub $name: &'static str,)*
        }

        /// English.
        pub static ENGLISH: Messages = Messages { $($name: $english,)* };
        /// 简体中文.
        pub static SIMPLIFIED_CHINESE: Messages = Messages { $($name: $chinese,)* };

        #[cfg(test)]
        const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $chinese),)*];
    };
}

catalogue! {
    tagline: "The application layer on top of Redis", "Redis 之上的应用层";
    skip: "Skip to the content", "跳到正文";
    home: "Home", "首页";
    chat: "Chat", "聊天";
    shop: "Shop", "商店";
    docs: "API", "接口文档";
    other_language: "中文", "English";
    switch_theme: "Switch between light and dark", "切换浅色与深色";
    needs_script: "The buttons on this page need JavaScript; the figures do not.", "本页的按钮需要 JavaScript，数字则不需要。";

    intro: "Users live in SQL and are read through a cache; page views, scores, tasks and stock live in Redis. All of it runs here: try each of them below.", "用户存放在 SQL 中，经缓存读取；浏览量、分数、任务和库存存放在 Redis 中。它们都在这里运行，下面逐一可试。";
    running: "What runs here", "正在运行";
    program: "Program", "程序";
    server: "Redis server", "Redis 服务器";
    memory: "Redis memory", "Redis 内存";
    commands_run: "Commands run", "已执行命令";
    database: "Database", "数据库";
    users: "Users", "用户数";
    away: "away", "不可用";
    slowed: "each look-up slowed by", "每次查询延迟";
    lost: "The server does not answer: these figures are old. This page goes on asking.", "服务器没有响应，这些数字是旧的。本页会继续尝试。";
    views: "Page views", "页面浏览量";
    views_today: "Today", "今日";
    views_note: "Opening this page counts one. Visits of others show by themselves.", "打开本页计一次，他人的访问会自动显示。";

    lookup: "Look up a user", "查询用户";
    lookup_note: "The first look-up reads the database, the next ones the cache. Ask twice and compare. That there is no such user is remembered, too.", "第一次查询读数据库，之后读缓存。查询两次，比较一下。不存在的用户也会被记住。";
    user_id: "User id", "用户编号";
    look_up: "Look up", "查询";
    user: "User", "用户";
    source: "Source", "来源";
    time: "Time", "用时";
    commands: "Redis commands", "Redis 命令数";
    near: "hit in the process", "进程内命中";
    hit: "cache hit", "缓存命中";
    stale: "stale: the database is away", "旧值：数据库不可用";
    miss: "miss: read from SQL", "未命中：读自 SQL";
    bypass: "bypass: Redis is away", "绕过：Redis 不可用";
    no_such_user: "no such user", "没有这个用户";

    cold: "1,000 callers, one cold key", "一千个请求，一个冷键";
    cold_note: "All of them ask for the same user at the same moment, and nothing is cached. Without protection everyone who misses queries the database; with it one caller loads and the others wait for its result. Each dot is a caller; a coloured one queried the database.", "它们在同一时刻请求同一个用户，而缓存是空的。没有保护时，未命中的请求都去查询数据库；有保护时，一个请求去加载，其余的等待它的结果。每个点是一个请求，着色的查询了数据库。";
    cold_query: "A query takes", "每次查询用时";
    cold_run: "Send 1,000 callers", "发出一千个请求";
    cold_running: "Running …", "运行中……";
    cold_without: "Without protection", "没有保护";
    cold_with: "With russet", "使用 russet";
    cold_answered: "Last answer after", "最后一个结果用时";
    cold_failed: "callers got an error", "个请求出错";
    cold_late: "{n} of them came only after the first result had been cached.", "其中 {n} 个到来时，第一个结果已在缓存中。";
    query: "SQL query", "次 SQL 查询";
    queries: "SQL queries", "次 SQL 查询";

    kill: "Kill a worker", "杀死一个工作进程";
    kill_note: "A process of its own works on twelve tasks, four at a time. In the middle of them it is ended by SIGKILL, which no process can catch. What it held is lost only until its lease of two seconds ends; then another process does it.", "一个独立的进程处理十二个任务，每次四个。进行到一半时，它被 SIGKILL 结束，没有进程能拦截这个信号。它手里的任务只丢失到两秒的租约到期，随后由另一个进程完成。";
    kill_run: "Start, and kill it", "启动并杀死它";
    kill_pid: "process {pid}", "进程 {pid}";
    kill_working: "works", "工作中";
    kill_killed: "killed by SIGKILL", "已被 SIGKILL 杀死";
    kill_stopped: "finished", "已完成";
    kill_waiting: "waiting", "等待";
    kill_running: "running", "执行中";
    kill_lost: "held by the dead process", "在已死进程手中";
    kill_done: "done", "完成";
    kill_again: "done at the second attempt", "第二次执行完成";
    kill_back: "{held} tasks were with the dead process; after {seconds} s the last of them was with another one. None is lost.", "已死进程手中有 {held} 个任务；{seconds} 秒后，最后一个也到了另一个进程手中，没有任务丢失。";
    kill_back_one: "One task was with the dead process; after {seconds} s it was with another one. None is lost.", "已死进程手中有 1 个任务；{seconds} 秒后到了另一个进程手中，没有任务丢失。";
    task: "Task", "任务";

    sale: "Flash sale", "限时抢购";
    sale_note: "A thousand buyers come for a hundred units at the same moment. Who gets one has two seconds to pay; some change their mind, some do not pay, and what they held goes to the next. Each dot is a buyer, each state the answer of a real call.", "一千个买家同时抢购一百件商品。抢到的人有两秒钟付款；有人反悔，有人不付款，他们占用的商品会回到库存，由下一个人得到。每个点是一个买家，每个状态都来自一次真实的调用。";
    sale_run: "Open the sale", "开始抢购";
    sale_waits: "waits", "等待";
    sale_holds: "holds one", "占用一件";
    sale_bought: "bought", "已购买";
    sale_cancelled: "gave it back", "已退回";
    sale_expired: "did not pay in time", "超时未付款";
    sale_sold_out: "found all sold", "已售罄";
    sale_failed: "got an error", "出错";
    sale_sum: "{free} free + {reserved} reserved + {sold} sold = {total}", "可售 {free} + 占用 {reserved} + 已售 {sold} = {total}";
    sale_over: "{bought} buyers were told that they have bought, and {sold} units are sold. {cancelled} gave theirs back and {expired} did not pay in time: others got those.", "{bought} 个买家得知购买成功，售出 {sold} 件。{cancelled} 人退回、{expired} 人超时未付款，那些商品都归了别人。";

    shop_lead: "Reserving, paying and giving back are one atomic step each, without a lock. What nobody pays for is free again when its time ends.", "预订、付款和退回各是一个原子步骤，不需要锁。到期未付款的商品会自动回到库存。";
    shop_products: "Products", "商品";
    shop_product: "Product", "商品";
    shop_free: "Free", "可售";
    shop_reserved: "Reserved", "占用";
    shop_sold: "Sold", "已售";
    shop_total: "Total", "总数";
    shop_quantity: "Quantity", "数量";
    shop_reserve: "Reserve", "预订";
    shop_name: "Your name", "你的名字";
    shop_name_note: "Each name may have ten units of a product.", "每个名字最多拥有同一商品十件。";
    shop_mine: "Your reservations", "你的预订";
    shop_none: "You have reserved nothing yet.", "你还没有预订。";
    shop_empty: "The shop has no products.", "商店里没有商品。";
    shop_pay: "Pay", "付款";
    shop_extend: "Five minutes more", "延长五分钟";
    shop_cancel: "Give back", "退回";
    shop_held: "{time} left", "剩余 {time}";
    shop_is_sold: "bought", "已购买";
    shop_is_cancelled: "given back", "已退回";
    shop_is_expired: "its time has passed", "已过期";
    shop_done: "Reserved: {quantity} × {product}", "已预订：{quantity} × {product}";
    shop_available: "{n} could be had.", "还可预订 {n} 件。";
    shop_needs_script: "Reserving needs JavaScript; the figures do not.", "预订需要 JavaScript，数字则不需要。";

    talk_lead: "Messages are kept in Redis and told to everybody who is here, whichever server process they are connected to.", "消息保存在 Redis 中，并告知在场的每个人，无论他们连接到哪个服务器进程。";
    talk_name: "Your name", "你的名字";
    talk_room: "Room", "聊天室";
    talk_room_note: "Letters a to z, digits and -", "小写字母、数字和 -";
    talk_join: "Join", "加入";
    talk_leave: "Leave", "离开";
    talk_text: "Message", "消息";
    talk_say: "Send", "发送";
    talk_earlier: "Earlier messages", "更早的消息";
    talk_empty: "Nobody has said anything here yet.", "这里还没有人说话。";
    talk_connecting: "Connecting …", "连接中……";
    talk_here: "You are in the room {room}.", "你在聊天室 {room} 中。";
    talk_lost: "The connection is lost. Trying again …", "连接已断开，正在重试……";
    talk_gap: "The connection to Redis was lost for a while; what was said meanwhile has been read again.", "与 Redis 的连接曾经断开，期间的消息已重新读取。";
    talk_people: "Here: {names}", "在场：{names}";
    talk_typing: "{name} is typing …", "{name} 正在输入……";
    talk_out: "You are signed out.", "你已退出登录。";
    talk_login: "Sign in to talk here.", "登录后才能在这里聊天。";
    talk_account: "signed in", "已登录";
    talk_needs_script: "The chat needs JavaScript.", "聊天需要 JavaScript。";

    account: "Account", "账户";
    login: "Sign in", "登录";
    login_name: "Name", "用户名";
    password: "Password", "密码";
    login_note: "The administrator's first password is in the file admin-password of the server's data folder.", "管理员的初始密码在服务器数据目录的 admin-password 文件中。";
    login_wrong: "The name or the password is wrong.", "用户名或密码错误。";
    login_too_many: "There were too many tries. Wait a while, and try again.", "尝试次数过多，请稍候再试。";
    login_away: "Nobody can sign in at the moment: a part of the server is away. Try again soon.", "暂时无法登录：服务器的一部分不可用，请稍后再试。";
    logout: "Sign out", "退出登录";
    logout_others: "Sign out everywhere else", "退出其他所有设备";
    logout_everywhere: "Sign out everywhere", "退出所有设备";
    signed_in_as: "Signed in as", "已登录：";
    go_on: "Go on", "继续";
    sessions: "My sessions", "我的会话";
    sessions_note: "Each browser and program that is signed in with this account. What is ended here is out at its next request.", "使用此账户登录的每个浏览器和程序。在这里结束的会话，在其下一次请求时即被退出。";
    this_device: "this device", "本设备";
    unknown_device: "An unknown device", "未知设备";
    last_used: "last used", "最近使用";
    since: "since", "始于";
    until: "until", "至";

    applications: "Applications under this sign-on", "此登录下的应用";
    app_shop: "Corner shop", "街角小店";
    app_chat: "Tea room", "茶室";
    app_note: "This application has a cookie and a session of its own. It has never seen your password: a ticket that was good once has opened it.", "这个应用有自己的 Cookie 和会话。它从未见过您的密码：一张只能用一次的票据打开了它。";
    app_keeps: "Kept in its own session", "保存在它自己的会话中";
    app_keep: "Keep", "保存";
    app_leave: "Leave this application", "离开此应用";
    app_logout: "Sign out of all applications", "退出所有应用";
    app_refused: "This way in is good once, for a minute, and for the browser that has asked for it.", "这个入口只能使用一次，一分钟内有效，并且只对发起请求的浏览器有效。";

    leaderboard: "Leaderboard", "排行榜";
    leaderboard_note: "Every change is one atomic step: score, rank and the board's size.", "每次变更都是一个原子步骤：分数、名次和榜单大小。";
    rank: "Rank", "名次";
    player: "Player", "玩家";
    score: "Score", "分数";
    points: "Points", "加分";
    add_points: "Add", "提交";
    nobody: "Nobody has a score yet.", "还没有分数。";

    failed: "That did not work:", "操作失败：";
    docs_intro: "Every route of this server, from its own OpenAPI document. Open one, fill in the fields and send a request from here.", "本服务器的全部接口，取自它自己的 OpenAPI 文档。展开一个，填写字段，即可在此发送请求。";
    docs_document: "The document itself:", "文档本身：";
    body: "Body", "请求体";
    answers: "Answers", "响应";
    send: "Send", "发送";
    sure: "This deletes something. Send it?", "这会删除数据，确定发送吗？";
    loading: "Loading …", "加载中……";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_there_in_both_languages_and_translated() {
        for (name, english, chinese) in PAIRS {
            assert!(!english.is_empty() && !chinese.is_empty(), "{name}");
            assert_ne!(english, chinese, "{name}");
        }
    }
}
