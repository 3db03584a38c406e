<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="zh_CN" sourcelanguage="en_US">
  <context>
    <name>mfgviz</name>
    <message>
      <source>A server's address begins with http:// or https://.</source>
      <translation>服务器地址以 http:// 或 https:// 开头。</translation>
    </message>
    <message>
      <source>Address</source>
      <translation>地址</translation>
    </message>
    <message>
      <source>Another request is being sent. Wait for it, or cancel it.</source>
      <translation>正在发送另一个请求。请等待或取消它。</translation>
    </message>
    <message>
      <source>Another seed each time; press to lock it</source>
      <translation>每次使用不同种子；按下以锁定</translation>
    </message>
    <message>
      <source>Approved</source>
      <translation>已批准</translation>
    </message>
    <message>
      <source>Approved by {who}</source>
      <translation>由 {who} 批准</translation>
    </message>
    <message>
      <source>Ask the server again</source>
      <translation>重新查询服务器</translation>
    </message>
    <message>
      <source>Ask your administrator; the token was not sent.</source>
      <translation>请咨询管理员；令牌未发送。</translation>
    </message>
    <message>
      <source>Asking for the render …</source>
      <translation>正在提交渲染 …</translation>
    </message>
    <message>
      <source>Asking {url} …</source>
      <translation>正在询问 {url} …</translation>
    </message>
    <message>
      <source>Avoid</source>
      <translation>避免</translation>
    </message>
    <message>
      <source>Bottom</source>
      <translation>仰视</translation>
    </message>
    <message>
      <source>Brushed metal</source>
      <translation>拉丝金属</translation>
    </message>
    <message>
      <source>Cancel</source>
      <translation>取消</translation>
    </message>
    <message>
      <source>Cancel what is being sent or rendered</source>
      <translation>取消正在发送或渲染的内容</translation>
    </message>
    <message>
      <source>Cancelled before it was sent.</source>
      <translation>发送前已取消。</translation>
    </message>
    <message>
      <source>Cancelled.</source>
      <translation>已取消。</translation>
    </message>
    <message>
      <source>Cancelling …</source>
      <translation>正在取消 …</translation>
    </message>
    <message>
      <source>Catalogue, soft shadow</source>
      <translation>产品目录，柔和阴影</translation>
    </message>
    <message>
      <source>Check the address in the settings, and the network.</source>
      <translation>请检查设置中的地址和网络。</translation>
    </message>
    <message>
      <source>Check the address in the settings.</source>
      <translation>请检查设置中的地址。</translation>
    </message>
    <message>
      <source>Connected as {who} ({role}) to mfgviz {version}.</source>
      <translation>已以 {who}（{role}）身份连接到 mfgviz {version}。</translation>
    </message>
    <message>
      <source>Copy</source>
      <translation>复制</translation>
    </message>
    <message>
      <source>Copy picture</source>
      <translation>复制图片</translation>
    </message>
    <message>
      <source>Dark background</source>
      <translation>深色背景</translation>
    </message>
    <message>
      <source>Defaults</source>
      <translation>默认值</translation>
    </message>
    <message>
      <source>Differs from the part's geometry</source>
      <translation>与零件几何不符</translation>
    </message>
    <message>
      <source>Discard</source>
      <translation>丢弃</translation>
    </message>
    <message>
      <source>Dismiss</source>
      <translation>关闭</translation>
    </message>
    <message>
      <source>Done: 1 render attached to {reference}.</source>
      <translation>完成：1 张渲染图已附加到 {reference}。</translation>
    </message>
    <message>
      <source>Done: {count} renders attached to {reference}.</source>
      <translation>完成：{count} 张渲染图已附加到 {reference}。</translation>
    </message>
    <message>
      <source>Embed</source>
      <translation>嵌入</translation>
    </message>
    <message>
      <source>Embed in the document</source>
      <translation>嵌入文档</translation>
    </message>
    <message>
      <source>Embed the first picture of each job in the document</source>
      <translation>将每个任务的第一张图片嵌入文档</translation>
    </message>
    <message>
      <source>Embedded at “{label}”: save the document to keep it.</source>
      <translation>已嵌入“{label}”：请保存文档。</translation>
    </message>
    <message>
      <source>Enter a new revision, or open the released model.</source>
      <translation>请输入新版本，或打开已发布的模型。</translation>
    </message>
    <message>
      <source>Enter a token. `mfgviz up` prints one; your administrator makes others.</source>
      <translation>请输入令牌。`mfgviz up` 会打印一个；其他令牌由管理员创建。</translation>
    </message>
    <message>
      <source>Enter a {word}: up to 128 characters, no @ and no slashes.</source>
      <translation>请输入{word}：最多 128 个字符，不含 @ 和斜杠。</translation>
    </message>
    <message>
      <source>Everything is hidden. Show the part, or select it.</source>
      <translation>所有对象都已隐藏。请显示零件，或选择它。</translation>
    </message>
    <message>
      <source>Exporting {title} …</source>
      <translation>正在导出 {title} …</translation>
    </message>
    <message>
      <source>Fetching the renders …</source>
      <translation>正在获取渲染图 …</translation>
    </message>
    <message>
      <source>Front</source>
      <translation>前视</translation>
    </message>
    <message>
      <source>Geometry</source>
      <translation>几何强度</translation>
    </message>
    <message>
      <source>How strictly the picture follows the part's edges and surfaces</source>
      <translation>图片遵循零件边线和表面的严格程度</translation>
    </message>
    <message>
      <source>Insert this field into the prompt</source>
      <translation>将此字段插入提示词</translation>
    </message>
    <message>
      <source>Isometric</source>
      <translation>等轴测</translation>
    </message>
    <message>
      <source>It is the part's image now.</source>
      <translation>现在它是零件的图片。</translation>
    </message>
    <message>
      <source>Job {id} has ended: its renders are attached to {reference}.</source>
      <translation>任务 {id} 已结束：渲染图已附加到 {reference}。</translation>
    </message>
    <message>
      <source>Job {id} is not known to the server any more.</source>
      <translation>服务器已不再有任务 {id}。</translation>
    </message>
    <message>
      <source>Job {id} of {reference} failed: {reason}</source>
      <translation>{reference} 的任务 {id} 失败：{reason}</translation>
    </message>
    <message>
      <source>Left</source>
      <translation>左视</translation>
    </message>
    <message>
      <source>Looking up {reference} …</source>
      <translation>正在查找 {reference} …</translation>
    </message>
    <message>
      <source>Looks</source>
      <translation>外观</translation>
    </message>
    <message>
      <source>Material</source>
      <translation>材料</translation>
    </message>
    <message>
      <source>Model</source>
      <translation>模型</translation>
    </message>
    <message>
      <source>Models: {names}.</source>
      <translation>模型：{names}。</translation>
    </message>
    <message>
      <source>More settings</source>
      <translation>更多设置</translation>
    </message>
    <message>
      <source>Next render</source>
      <translation>下一张</translation>
    </message>
    <message>
      <source>No renders yet.</source>
      <translation>还没有渲染图。</translation>
    </message>
    <message>
      <source>No server answers at {url}.</source>
      <translation>{url} 处没有服务器应答。</translation>
    </message>
    <message>
      <source>No server is set.</source>
      <translation>未设置服务器。</translation>
    </message>
    <message>
      <source>No token is set for {url}.</source>
      <translation>尚未为 {url} 设置令牌。</translation>
    </message>
    <message>
      <source>No token is set, so nothing was sent.</source>
      <translation>未设置令牌，因此未发送任何内容。</translation>
    </message>
    <message>
      <source>Not compared with the geometry</source>
      <translation>未与几何比较</translation>
    </message>
    <message>
      <source>Not reviewed yet</source>
      <translation>尚未审核</translation>
    </message>
    <message>
      <source>Of an earlier shape of this revision</source>
      <translation>属于此版本较早的形状</translation>
    </message>
    <message>
      <source>Open a document with a part to render.</source>
      <translation>请打开包含零件的文档。</translation>
    </message>
    <message>
      <source>Open the settings.</source>
      <translation>请打开设置。</translation>
    </message>
    <message>
      <source>PNG (*.png);;JPEG (*.jpg);;WebP (*.webp)</source>
      <translation>PNG (*.png);;JPEG (*.jpg);;WebP (*.webp)</translation>
    </message>
    <message>
      <source>Painted</source>
      <translation>喷漆</translation>
    </message>
    <message>
      <source>Part</source>
      <translation>零件</translation>
    </message>
    <message>
      <source>Part number</source>
      <translation>零件号</translation>
    </message>
    <message>
      <source>Paste the connect string into the address: the token is taken out of it and kept in the system's keyring, or where there is none in a file that only you can read.</source>
      <translation>将连接字符串粘贴到地址栏：令牌会被取出并保存在系统密钥环中；若没有密钥环，则保存在只有您能读取的文件中。</translation>
    </message>
    <message>
      <source>Paste the connect string that `mfgviz up` prints into the settings.</source>
      <translation>请将 `mfgviz up` 打印的连接字符串粘贴到设置中。</translation>
    </message>
    <message>
      <source>Pictures</source>
      <translation>张数</translation>
    </message>
    <message>
      <source>Pictures of this part revision, rendered by mfgviz</source>
      <translation>由 mfgviz 渲染的此零件版本的图片</translation>
    </message>
    <message>
      <source>Presets and recent prompts</source>
      <translation>预设和最近的提示词</translation>
    </message>
    <message>
      <source>Previous render</source>
      <translation>上一张</translation>
    </message>
    <message>
      <source>Prompt</source>
      <translation>提示词</translation>
    </message>
    <message>
      <source>Queued, position {position}.</source>
      <translation>排队中，第 {position} 位。</translation>
    </message>
    <message>
      <source>Queued.</source>
      <translation>排队中。</translation>
    </message>
    <message>
      <source>Rear</source>
      <translation>后视</translation>
    </message>
    <message>
      <source>Recent</source>
      <translation>最近</translation>
    </message>
    <message>
      <source>Rejected</source>
      <translation>已拒绝</translation>
    </message>
    <message>
      <source>Rejected by {who}</source>
      <translation>由 {who} 拒绝</translation>
    </message>
    <message>
      <source>Render each time a document is saved and its shape has changed</source>
      <translation>每次保存文档且形状有变化时渲染</translation>
    </message>
    <message>
      <source>Render it as the 3D view shows it</source>
      <translation>按三维视图所示渲染</translation>
    </message>
    <message>
      <source>Render on save</source>
      <translation>保存时渲染</translation>
    </message>
    <message>
      <source>Render part</source>
      <translation>渲染零件</translation>
    </message>
    <message>
      <source>Render the part as the 3D view shows it, so that the picture lies over it</source>
      <translation>按三维视图所示渲染零件，图片与视图完全重合</translation>
    </message>
    <message>
      <source>Render this part</source>
      <translation>渲染此零件</translation>
    </message>
    <message>
      <source>Render this part each time it is saved and its shape has changed</source>
      <translation>每次保存且形状有变化时渲染此零件</translation>
    </message>
    <message>
      <source>Render this part from the chosen view</source>
      <translation>按所选视图渲染此零件</translation>
    </message>
    <message>
      <source>Render this view</source>
      <translation>渲染此视图</translation>
    </message>
    <message>
      <source>Render view</source>
      <translation>渲染视图</translation>
    </message>
    <message>
      <source>Render {id} of {revision}</source>
      <translation>{revision} 的渲染图 {id}</translation>
    </message>
    <message>
      <source>Rendering, step {step} of {of}</source>
      <translation>渲染中，第 {step} 步，共 {of} 步</translation>
    </message>
    <message>
      <source>Renders</source>
      <translation>渲染图</translation>
    </message>
    <message>
      <source>Renders ({count})</source>
      <translation>渲染图（{count}）</translation>
    </message>
    <message>
      <source>Renders of this revision</source>
      <translation>此版本的渲染图</translation>
    </message>
    <message>
      <source>Rev.</source>
      <translation>版本</translation>
    </message>
    <message>
      <source>Revision</source>
      <translation>版本</translation>
    </message>
    <message>
      <source>Right</source>
      <translation>右视</translation>
    </message>
    <message>
      <source>Save as …</source>
      <translation>另存为 …</translation>
    </message>
    <message>
      <source>Save render</source>
      <translation>保存渲染图</translation>
    </message>
    <message>
      <source>Saved as {path}.</source>
      <translation>已保存为 {path}。</translation>
    </message>
    <message>
      <source>Saved; the shape is the same as before, so nothing was asked.</source>
      <translation>已保存；形状未变，因此未提交渲染。</translation>
    </message>
    <message>
      <source>Seed</source>
      <translation>种子</translation>
    </message>
    <message>
      <source>Seed {seed}, {model}</source>
      <translation>种子 {seed}，{model}</translation>
    </message>
    <message>
      <source>Send again</source>
      <translation>重新发送</translation>
    </message>
    <message>
      <source>Send this part to mfgviz and render it from the view chosen in the dock</source>
      <translation>将此零件发送到 mfgviz，并按面板中选择的视图渲染</translation>
    </message>
    <message>
      <source>Sending the geometry …</source>
      <translation>正在发送几何数据 …</translation>
    </message>
    <message>
      <source>Sending the geometry: {percent} %</source>
      <translation>正在发送几何数据：{percent} %</translation>
    </message>
    <message>
      <source>Server</source>
      <translation>服务器</translation>
    </message>
    <message>
      <source>Server, token and defaults of mfgviz</source>
      <translation>mfgviz 的服务器、令牌和默认值</translation>
    </message>
    <message>
      <source>Set as image</source>
      <translation>设为图片</translation>
    </message>
    <message>
      <source>Set as the part's image</source>
      <translation>设为零件图片</translation>
    </message>
    <message>
      <source>Set the address it sends to.</source>
      <translation>请设置它转向的地址。</translation>
    </message>
    <message>
      <source>Settings …</source>
      <translation>设置 …</translation>
    </message>
    <message>
      <source>Show or hide the dock with this revision's renders</source>
      <translation>显示或隐藏此版本的渲染图面板</translation>
    </message>
    <message>
      <source>Shows the part</source>
      <translation>与零件相符</translation>
    </message>
    <message>
      <source>Size</source>
      <translation>尺寸</translation>
    </message>
    <message>
      <source>Standard</source>
      <translation>标准</translation>
    </message>
    <message>
      <source>Standard ({name})</source>
      <translation>标准（{name}）</translation>
    </message>
    <message>
      <source>Stands for {{{key}}} in the prompt. Taken from the object where it has one.</source>
      <translation>代表提示词中的 {{{key}}}。若对象有此属性则自动获取。</translation>
    </message>
    <message>
      <source>Start it with `mfgviz up`, or check the address in the settings.</source>
      <translation>请用 `mfgviz up` 启动它，或检查设置中的地址。</translation>
    </message>
    <message>
      <source>Starting …</source>
      <translation>正在启动 …</translation>
    </message>
    <message>
      <source>Studio, white background</source>
      <translation>摄影棚，白色背景</translation>
    </message>
    <message>
      <source>Superseded by another CAD file</source>
      <translation>已被另一个 CAD 文件取代</translation>
    </message>
    <message>
      <source>Test connection</source>
      <translation>测试连接</translation>
    </message>
    <message>
      <source>The address must not hold a user or password; the token does that.</source>
      <translation>地址中不得包含用户名或密码；请使用令牌。</translation>
    </message>
    <message>
      <source>The address names no server.</source>
      <translation>地址中没有服务器名称。</translation>
    </message>
    <message>
      <source>The camera of Render part. Render view takes the 3D view's.</source>
      <translation>“渲染零件”所用的相机。“渲染视图”使用三维视图的相机。</translation>
    </message>
    <message>
      <source>The certificate of {url} is not trusted: {reason}</source>
      <translation>{url} 的证书不受信任：{reason}</translation>
    </message>
    <message>
      <source>The connect string that `mfgviz up` prints, or the server's address</source>
      <translation>`mfgviz up` 打印的连接字符串，或服务器地址</translation>
    </message>
    <message>
      <source>The document has no solids yet. Make a body, or open a part.</source>
      <translation>文档中还没有实体。请创建实体，或打开零件。</translation>
    </message>
    <message>
      <source>The document is closed: open it, then embed the render.</source>
      <translation>文档已关闭：请打开后再嵌入渲染图。</translation>
    </message>
    <message>
      <source>The exported file is gone: export the part again by pressing Render.</source>
      <translation>导出的文件已不存在：请按“渲染”重新导出。</translation>
    </message>
    <message>
      <source>The exported part has {size} MB; the server takes {most} MB.</source>
      <translation>导出的零件为 {size} MB；服务器最多接受 {most} MB。</translation>
    </message>
    <message>
      <source>The group is empty. Select a body or a part.</source>
      <translation>该组为空。请选择一个实体或零件。</translation>
    </message>
    <message>
      <source>The part could not be exported: {reason}</source>
      <translation>无法导出零件：{reason}</translation>
    </message>
    <message>
      <source>The part's image</source>
      <translation>零件图片</translation>
    </message>
    <message>
      <source>The prompt is empty. Say in words what the part looks like, or choose a preset.</source>
      <translation>提示词为空。请描述零件的外观，或选择一个预设。</translation>
    </message>
    <message>
      <source>The prompt uses {field}, which is empty. Enter it above, or take it out.</source>
      <translation>提示词使用了 {field}，但它为空。请在上方填写，或将其删除。</translation>
    </message>
    <message>
      <source>The request for {reference} was not sent, and is kept.</source>
      <translation>{reference} 的请求未发送，已保留。</translation>
    </message>
    <message>
      <source>The request is kept. Paste the connect string into the settings, then send it again.</source>
      <translation>请求已保留。请将连接字符串粘贴到设置中，然后重新发送。</translation>
    </message>
    <message>
      <source>The same seed each time</source>
      <translation>每次使用相同种子</translation>
    </message>
    <message>
      <source>The server at {url} sends requests elsewhere.</source>
      <translation>{url} 处的服务器将请求转到别处。</translation>
    </message>
    <message>
      <source>The server makes the revision with the first render.</source>
      <translation>首次渲染时服务器会创建该版本。</translation>
    </message>
    <message>
      <source>The token goes over the network unencrypted. Use https where you can.</source>
      <translation>令牌在网络上未加密传输。请尽可能使用 https。</translation>
    </message>
    <message>
      <source>The token in the address is damaged. Copy the connect string again.</source>
      <translation>地址中的令牌已损坏。请重新复制连接字符串。</translation>
    </message>
    <message>
      <source>There is no 3D view of this document. Open one, or render the part.</source>
      <translation>此文档没有三维视图。请打开一个，或渲染零件。</translation>
    </message>
    <message>
      <source>There is no host of that name: {url}.</source>
      <translation>没有该名称的主机：{url}。</translation>
    </message>
    <message>
      <source>These objects lie in different assemblies. Select one of them, or the assembly around them.</source>
      <translation>这些对象位于不同的装配中。请选择其中之一，或包含它们的装配。</translation>
    </message>
    <message>
      <source>This is no address of a server.</source>
      <translation>这不是服务器地址。</translation>
    </message>
    <message>
      <source>This token may look, but not ask for renders. Ask for one with the role engineer.</source>
      <translation>此令牌只能查看，不能提交渲染。请申请工程师角色的令牌。</translation>
    </message>
    <message>
      <source>This very picture was made before: it is shown below.</source>
      <translation>这张图片以前已生成：显示在下方。</translation>
    </message>
    <message>
      <source>Token</source>
      <translation>令牌</translation>
    </message>
    <message>
      <source>Top</source>
      <translation>俯视</translation>
    </message>
    <message>
      <source>Try again</source>
      <translation>重试</translation>
    </message>
    <message>
      <source>Use settings</source>
      <translation>使用设置</translation>
    </message>
    <message>
      <source>Use these settings</source>
      <translation>使用这些设置</translation>
    </message>
    <message>
      <source>Vary</source>
      <translation>变体</translation>
    </message>
    <message>
      <source>Vary: more like this one</source>
      <translation>变体：更多类似图片</translation>
    </message>
    <message>
      <source>View</source>
      <translation>视图</translation>
    </message>
    <message>
      <source>Waiting for the server …</source>
      <translation>正在等待服务器 …</translation>
    </message>
    <message>
      <source>What answers at {url} is not an mfgviz server.</source>
      <translation>{url} 处应答的不是 mfgviz 服务器。</translation>
    </message>
    <message>
      <source>What the part looks like, in words</source>
      <translation>用文字描述零件的外观</translation>
    </message>
    <message>
      <source>Your jobs go on there; they are shown when it answers again.</source>
      <translation>您的任务在那里继续；服务器恢复后会显示。</translation>
    </message>
    <message>
      <source>administrator</source>
      <translation>管理员</translation>
    </message>
    <message>
      <source>another one each time</source>
      <translation>每次不同</translation>
    </message>
    <message>
      <source>approver</source>
      <translation>审批人</translation>
    </message>
    <message>
      <source>engineer</source>
      <translation>工程师</translation>
    </message>
    <message>
      <source>in review</source>
      <translation>审核中</translation>
    </message>
    <message>
      <source>in work</source>
      <translation>编辑中</translation>
    </message>
    <message>
      <source>kept; enter another to replace it</source>
      <translation>已保存；输入新的即可替换</translation>
    </message>
    <message>
      <source>mfgv_…</source>
      <translation>mfgv_…</translation>
    </message>
    <message>
      <source>mfgviz renders</source>
      <translation>mfgviz 渲染图</translation>
    </message>
    <message>
      <source>mfgviz settings</source>
      <translation>mfgviz 设置</translation>
    </message>
    <message>
      <source>new</source>
      <translation>新</translation>
    </message>
    <message>
      <source>none</source>
      <translation>无</translation>
    </message>
    <message>
      <source>nothing in particular</source>
      <translation>无</translation>
    </message>
    <message>
      <source>obsolete</source>
      <translation>已作废</translation>
    </message>
    <message>
      <source>part number</source>
      <translation>零件号</translation>
    </message>
    <message>
      <source>released</source>
      <translation>已发布</translation>
    </message>
    <message>
      <source>revision</source>
      <translation>版本</translation>
    </message>
    <message>
      <source>viewer</source>
      <translation>查看者</translation>
    </message>
    <message>
      <source>{count} more after it.</source>
      <translation>其后还有 {count} 个。</translation>
    </message>
    <message>
      <source>{count} objects: {names}</source>
      <translation>{count} 个对象：{names}</translation>
    </message>
    <message>
      <source>{count} requests were not sent, and are kept.</source>
      <translation>{count} 个请求未发送，已保留。</translation>
    </message>
    <message>
      <source>{path} cannot be written: {reason}</source>
      <translation>无法写入 {path}：{reason}</translation>
    </message>
    <message>
      <source>{reference} is {state}: its geometry no longer changes, and this part's shape is another.</source>
      <translation>{reference} {state}：其几何不再改变，而此零件的形状不同。</translation>
    </message>
    <message>
      <source>{url} cannot be reached: {reason}</source>
      <translation>无法连接 {url}：{reason}</translation>
    </message>
    <message>
      <source>{url} did not answer in time.</source>
      <translation>{url} 未及时应答。</translation>
    </message>
    <message>
      <source>{width} x {height} px · seed {seed} · {model} · {time}</source>
      <translation>{width} x {height} px · 种子 {seed} · {model} · {time}</translation>
    </message>
    <message>
      <source>“{label}” has no solid to render. Select a body or a part.</source>
      <translation>“{label}”没有可渲染的实体。请选择一个实体或零件。</translation>
    </message>
    <message>
      <source>“{label}” is a mesh. Make a solid of it first (Part → Create shape from mesh).</source>
      <translation>“{label}”是网格。请先将其转换为实体（零件 → 从网格创建形状）。</translation>
    </message>
    <message>
      <source>“{label}” is a sketch. Pad or revolve it, or select a body.</source>
      <translation>“{label}”是草图。请拉伸或旋转它，或选择一个实体。</translation>
    </message>
    <message>
      <source>“{label}” is closed. Its render goes on, and is attached on the server.</source>
      <translation>“{label}”已关闭。渲染继续进行，并将附加在服务器上。</translation>
    </message>
    <message>
      <source>“{label}” is closed; its renders are attached to {reference} on the server.</source>
      <translation>“{label}”已关闭；其渲染图已在服务器上附加到 {reference}。</translation>
    </message>
    <message>
      <source>“{title}” has neither solids nor surfaces. Select a body or a part.</source>
      <translation>“{title}”既无实体也无曲面。请选择一个实体或零件。</translation>
    </message>
    <message>
      <source>“{title}” has no shape. Recompute the document, or select a body.</source>
      <translation>“{title}”没有形状。请重新计算文档，或选择一个实体。</translation>
    </message>
    <message>
      <source>“{title}” has no solid: its surfaces are sent.</source>
      <translation>“{title}”没有实体：将发送其曲面。</translation>
    </message>
  </context>
</TS>
