<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="en_US" sourcelanguage="en_US">
  <context>
    <name>mfgviz</name>
    <message>
      <source>A server's address begins with http:// or https://.</source>
      <translation>A server's address begins with http:// or https://.</translation>
    </message>
    <message>
      <source>Address</source>
      <translation>Address</translation>
    </message>
    <message>
      <source>Another request is being sent. Wait for it, or cancel it.</source>
      <translation>Another request is being sent. Wait for it, or cancel it.</translation>
    </message>
    <message>
      <source>Another seed each time; press to lock it</source>
      <translation>Another seed each time; press to lock it</translation>
    </message>
    <message>
      <source>Approved</source>
      <translation>Approved</translation>
    </message>
    <message>
      <source>Approved by {who}</source>
      <translation>Approved by {who}</translation>
    </message>
    <message>
      <source>Ask the server again</source>
      <translation>Ask the server again</translation>
    </message>
    <message>
      <source>Ask your administrator; the token was not sent.</source>
      <translation>Ask your administrator; the token was not sent.</translation>
    </message>
    <message>
      <source>Asking for the render …</source>
      <translation>Asking for the render …</translation>
    </message>
    <message>
      <source>Asking {url} …</source>
      <translation>Asking {url} …</translation>
    </message>
    <message>
      <source>Avoid</source>
      <translation>Avoid</translation>
    </message>
    <message>
      <source>Bottom</source>
      <translation>Bottom</translation>
    </message>
    <message>
      <source>Brushed metal</source>
      <translation>Brushed metal</translation>
    </message>
    <message>
      <source>Cancel</source>
      <translation>Cancel</translation>
    </message>
    <message>
      <source>Cancel what is being sent or rendered</source>
      <translation>Cancel what is being sent or rendered</translation>
    </message>
    <message>
      <source>Cancelled before it was sent.</source>
      <translation>Cancelled before it was sent.</translation>
    </message>
    <message>
      <source>Cancelled.</source>
      <translation>Cancelled.</translation>
    </message>
    <message>
      <source>Cancelling …</source>
      <translation>Cancelling …</translation>
    </message>
    <message>
      <source>Catalogue, soft shadow</source>
      <translation>Catalogue, soft shadow</translation>
    </message>
    <message>
      <source>Check the address in the settings, and the network.</source>
      <translation>Check the address in the settings, and the network.</translation>
    </message>
    <message>
      <source>Check the address in the settings.</source>
      <translation>Check the address in the settings.</translation>
    </message>
    <message>
      <source>Connected as {who} ({role}) to mfgviz {version}.</source>
      <translation>Connected as {who} ({role}) to mfgviz {version}.</translation>
    </message>
    <message>
      <source>Copy</source>
      <translation>Copy</translation>
    </message>
    <message>
      <source>Copy picture</source>
      <translation>Copy picture</translation>
    </message>
    <message>
      <source>Dark background</source>
      <translation>Dark background</translation>
    </message>
    <message>
      <source>Defaults</source>
      <translation>Defaults</translation>
    </message>
    <message>
      <source>Differs from the part's geometry</source>
      <translation>Differs from the part's geometry</translation>
    </message>
    <message>
      <source>Discard</source>
      <translation>Discard</translation>
    </message>
    <message>
      <source>Dismiss</source>
      <translation>Dismiss</translation>
    </message>
    <message>
      <source>Done: 1 render attached to {reference}.</source>
      <translation>Done: 1 render attached to {reference}.</translation>
    </message>
    <message>
      <source>Done: {count} renders attached to {reference}.</source>
      <translation>Done: {count} renders attached to {reference}.</translation>
    </message>
    <message>
      <source>Embed</source>
      <translation>Embed</translation>
    </message>
    <message>
      <source>Embed in the document</source>
      <translation>Embed in the document</translation>
    </message>
    <message>
      <source>Embed the first picture of each job in the document</source>
      <translation>Embed the first picture of each job in the document</translation>
    </message>
    <message>
      <source>Embedded at “{label}”: save the document to keep it.</source>
      <translation>Embedded at “{label}”: save the document to keep it.</translation>
    </message>
    <message>
      <source>Enter a new revision, or open the released model.</source>
      <translation>Enter a new revision, or open the released model.</translation>
    </message>
    <message>
      <source>Enter a token. `mfgviz up` prints one; your administrator makes others.</source>
      <translation>Enter a token. `mfgviz up` prints one; your administrator makes others.</translation>
    </message>
    <message>
      <source>Enter a {word}: up to 128 characters, no @ and no slashes.</source>
      <translation>Enter a {word}: up to 128 characters, no @ and no slashes.</translation>
    </message>
    <message>
      <source>Everything is hidden. Show the part, or select it.</source>
      <translation>Everything is hidden. Show the part, or select it.</translation>
    </message>
    <message>
      <source>Exporting {title} …</source>
      <translation>Exporting {title} …</translation>
    </message>
    <message>
      <source>Fetching the renders …</source>
      <translation>Fetching the renders …</translation>
    </message>
    <message>
      <source>Front</source>
      <translation>Front</translation>
    </message>
    <message>
      <source>Geometry</source>
      <translation>Geometry</translation>
    </message>
    <message>
      <source>How strictly the picture follows the part's edges and surfaces</source>
      <translation>How strictly the picture follows the part's edges and surfaces</translation>
    </message>
    <message>
      <source>Insert this field into the prompt</source>
      <translation>Insert this field into the prompt</translation>
    </message>
    <message>
      <source>Isometric</source>
      <translation>Isometric</translation>
    </message>
    <message>
      <source>It is the part's image now.</source>
      <translation>It is the part's image now.</translation>
    </message>
    <message>
      <source>Job {id} has ended: its renders are attached to {reference}.</source>
      <translation>Job {id} has ended: its renders are attached to {reference}.</translation>
    </message>
    <message>
      <source>Job {id} is not known to the server any more.</source>
      <translation>Job {id} is not known to the server any more.</translation>
    </message>
    <message>
      <source>Job {id} of {reference} failed: {reason}</source>
      <translation>Job {id} of {reference} failed: {reason}</translation>
    </message>
    <message>
      <source>Left</source>
      <translation>Left</translation>
    </message>
    <message>
      <source>Looking up {reference} …</source>
      <translation>Looking up {reference} …</translation>
    </message>
    <message>
      <source>Looks</source>
      <translation>Looks</translation>
    </message>
    <message>
      <source>Material</source>
      <translation>Material</translation>
    </message>
    <message>
      <source>Model</source>
      <translation>Model</translation>
    </message>
    <message>
      <source>Models: {names}.</source>
      <translation>Models: {names}.</translation>
    </message>
    <message>
      <source>More settings</source>
      <translation>More settings</translation>
    </message>
    <message>
      <source>Next render</source>
      <translation>Next render</translation>
    </message>
    <message>
      <source>No renders yet.</source>
      <translation>No renders yet.</translation>
    </message>
    <message>
      <source>No server answers at {url}.</source>
      <translation>No server answers at {url}.</translation>
    </message>
    <message>
      <source>No server is set.</source>
      <translation>No server is set.</translation>
    </message>
    <message>
      <source>No token is set for {url}.</source>
      <translation>No token is set for {url}.</translation>
    </message>
    <message>
      <source>No token is set, so nothing was sent.</source>
      <translation>No token is set, so nothing was sent.</translation>
    </message>
    <message>
      <source>Not compared with the geometry</source>
      <translation>Not compared with the geometry</translation>
    </message>
    <message>
      <source>Not reviewed yet</source>
      <translation>Not reviewed yet</translation>
    </message>
    <message>
      <source>Of an earlier shape of this revision</source>
      <translation>Of an earlier shape of this revision</translation>
    </message>
    <message>
      <source>Open a document with a part to render.</source>
      <translation>Open a document with a part to render.</translation>
    </message>
    <message>
      <source>Open the settings.</source>
      <translation>Open the settings.</translation>
    </message>
    <message>
      <source>PNG (*.png);;JPEG (*.jpg);;WebP (*.webp)</source>
      <translation>PNG (*.png);;JPEG (*.jpg);;WebP (*.webp)</translation>
    </message>
    <message>
      <source>Painted</source>
      <translation>Painted</translation>
    </message>
    <message>
      <source>Part</source>
      <translation>Part</translation>
    </message>
    <message>
      <source>Part number</source>
      <translation>Part number</translation>
    </message>
    <message>
      <source>Paste the connect string into the address: the token is taken out of it and kept in the system's keyring, or where there is none in a file that only you can read.</source>
      <translation>Paste the connect string into the address: the token is taken out of it and kept in the system's keyring, or where there is none in a file that only you can read.</translation>
    </message>
    <message>
      <source>Paste the connect string that `mfgviz up` prints into the settings.</source>
      <translation>Paste the connect string that `mfgviz up` prints into the settings.</translation>
    </message>
    <message>
      <source>Pictures</source>
      <translation>Pictures</translation>
    </message>
    <message>
      <source>Pictures of this part revision, rendered by mfgviz</source>
      <translation>Pictures of this part revision, rendered by mfgviz</translation>
    </message>
    <message>
      <source>Presets and recent prompts</source>
      <translation>Presets and recent prompts</translation>
    </message>
    <message>
      <source>Previous render</source>
      <translation>Previous render</translation>
    </message>
    <message>
      <source>Prompt</source>
      <translation>Prompt</translation>
    </message>
    <message>
      <source>Queued, position {position}.</source>
      <translation>Queued, position {position}.</translation>
    </message>
    <message>
      <source>Queued.</source>
      <translation>Queued.</translation>
    </message>
    <message>
      <source>Rear</source>
      <translation>Rear</translation>
    </message>
    <message>
      <source>Recent</source>
      <translation>Recent</translation>
    </message>
    <message>
      <source>Rejected</source>
      <translation>Rejected</translation>
    </message>
    <message>
      <source>Rejected by {who}</source>
      <translation>Rejected by {who}</translation>
    </message>
    <message>
      <source>Render each time a document is saved and its shape has changed</source>
      <translation>Render each time a document is saved and its shape has changed</translation>
    </message>
    <message>
      <source>Render it as the 3D view shows it</source>
      <translation>Render it as the 3D view shows it</translation>
    </message>
    <message>
      <source>Render on save</source>
      <translation>Render on save</translation>
    </message>
    <message>
      <source>Render part</source>
      <translation>Render part</translation>
    </message>
    <message>
      <source>Render the part as the 3D view shows it, so that the picture lies over it</source>
      <translation>Render the part as the 3D view shows it, so that the picture lies over it</translation>
    </message>
    <message>
      <source>Render this part</source>
      <translation>Render this part</translation>
    </message>
    <message>
      <source>Render this part each time it is saved and its shape has changed</source>
      <translation>Render this part each time it is saved and its shape has changed</translation>
    </message>
    <message>
      <source>Render this part from the chosen view</source>
      <translation>Render this part from the chosen view</translation>
    </message>
    <message>
      <source>Render this view</source>
      <translation>Render this view</translation>
    </message>
    <message>
      <source>Render view</source>
      <translation>Render view</translation>
    </message>
    <message>
      <source>Render {id} of {revision}</source>
      <translation>Render {id} of {revision}</translation>
    </message>
    <message>
      <source>Rendering, step {step} of {of}</source>
      <translation>Rendering, step {step} of {of}</translation>
    </message>
    <message>
      <source>Renders</source>
      <translation>Renders</translation>
    </message>
    <message>
      <source>Renders ({count})</source>
      <translation>Renders ({count})</translation>
    </message>
    <message>
      <source>Renders of this revision</source>
      <translation>Renders of this revision</translation>
    </message>
    <message>
      <source>Rev.</source>
      <translation>Rev.</translation>
    </message>
    <message>
      <source>Revision</source>
      <translation>Revision</translation>
    </message>
    <message>
      <source>Right</source>
      <translation>Right</translation>
    </message>
    <message>
      <source>Save as …</source>
      <translation>Save as …</translation>
    </message>
    <message>
      <source>Save render</source>
      <translation>Save render</translation>
    </message>
    <message>
      <source>Saved as {path}.</source>
      <translation>Saved as {path}.</translation>
    </message>
    <message>
      <source>Saved; the shape is the same as before, so nothing was asked.</source>
      <translation>Saved; the shape is the same as before, so nothing was asked.</translation>
    </message>
    <message>
      <source>Seed</source>
      <translation>Seed</translation>
    </message>
    <message>
      <source>Seed {seed}, {model}</source>
      <translation>Seed {seed}, {model}</translation>
    </message>
    <message>
      <source>Send again</source>
      <translation>Send again</translation>
    </message>
    <message>
      <source>Send this part to mfgviz and render it from the view chosen in the dock</source>
      <translation>Send this part to mfgviz and render it from the view chosen in the dock</translation>
    </message>
    <message>
      <source>Sending the geometry …</source>
      <translation>Sending the geometry …</translation>
    </message>
    <message>
      <source>Sending the geometry: {percent} %</source>
      <translation>Sending the geometry: {percent} %</translation>
    </message>
    <message>
      <source>Server</source>
      <translation>Server</translation>
    </message>
    <message>
      <source>Server, token and defaults of mfgviz</source>
      <translation>Server, token and defaults of mfgviz</translation>
    </message>
    <message>
      <source>Set as image</source>
      <translation>Set as image</translation>
    </message>
    <message>
      <source>Set as the part's image</source>
      <translation>Set as the part's image</translation>
    </message>
    <message>
      <source>Set the address it sends to.</source>
      <translation>Set the address it sends to.</translation>
    </message>
    <message>
      <source>Settings …</source>
      <translation>Settings …</translation>
    </message>
    <message>
      <source>Show or hide the dock with this revision's renders</source>
      <translation>Show or hide the dock with this revision's renders</translation>
    </message>
    <message>
      <source>Shows the part</source>
      <translation>Shows the part</translation>
    </message>
    <message>
      <source>Size</source>
      <translation>Size</translation>
    </message>
    <message>
      <source>Standard</source>
      <translation>Standard</translation>
    </message>
    <message>
      <source>Standard ({name})</source>
      <translation>Standard ({name})</translation>
    </message>
    <message>
      <source>Stands for {{{key}}} in the prompt. Taken from the object where it has one.</source>
      <translation>Stands for {{{key}}} in the prompt. Taken from the object where it has one.</translation>
    </message>
    <message>
      <source>Start it with `mfgviz up`, or check the address in the settings.</source>
      <translation>Start it with `mfgviz up`, or check the address in the settings.</translation>
    </message>
    <message>
      <source>Starting …</source>
      <translation>Starting …</translation>
    </message>
    <message>
      <source>Studio, white background</source>
      <translation>Studio, white background</translation>
    </message>
    <message>
      <source>Superseded by another CAD file</source>
      <translation>Superseded by another CAD file</translation>
    </message>
    <message>
      <source>Test connection</source>
      <translation>Test connection</translation>
    </message>
    <message>
      <source>The address must not hold a user or password; the token does that.</source>
      <translation>The address must not hold a user or password; the token does that.</translation>
    </message>
    <message>
      <source>The address names no server.</source>
      <translation>The address names no server.</translation>
    </message>
    <message>
      <source>The camera of Render part. Render view takes the 3D view's.</source>
      <translation>The camera of Render part. Render view takes the 3D view's.</translation>
    </message>
    <message>
      <source>The certificate of {url} is not trusted: {reason}</source>
      <translation>The certificate of {url} is not trusted: {reason}</translation>
    </message>
    <message>
      <source>The connect string that `mfgviz up` prints, or the server's address</source>
      <translation>The connect string that `mfgviz up` prints, or the server's address</translation>
    </message>
    <message>
      <source>The document has no solids yet. Make a body, or open a part.</source>
      <translation>The document has no solids yet. Make a body, or open a part.</translation>
    </message>
    <message>
      <source>The document is closed: open it, then embed the render.</source>
      <translation>The document is closed: open it, then embed the render.</translation>
    </message>
    <message>
      <source>The exported file is gone: export the part again by pressing Render.</source>
      <translation>The exported file is gone: export the part again by pressing Render.</translation>
    </message>
    <message>
      <source>The exported part has {size} MB; the server takes {most} MB.</source>
      <translation>The exported part has {size} MB; the server takes {most} MB.</translation>
    </message>
    <message>
      <source>The group is empty. Select a body or a part.</source>
      <translation>The group is empty. Select a body or a part.</translation>
    </message>
    <message>
      <source>The part could not be exported: {reason}</source>
      <translation>The part could not be exported: {reason}</translation>
    </message>
    <message>
      <source>The part's image</source>
      <translation>The part's image</translation>
    </message>
    <message>
      <source>The prompt is empty. Say in words what the part looks like, or choose a preset.</source>
      <translation>The prompt is empty. Say in words what the part looks like, or choose a preset.</translation>
    </message>
    <message>
      <source>The prompt uses {field}, which is empty. Enter it above, or take it out.</source>
      <translation>The prompt uses {field}, which is empty. Enter it above, or take it out.</translation>
    </message>
    <message>
      <source>The request for {reference} was not sent, and is kept.</source>
      <translation>The request for {reference} was not sent, and is kept.</translation>
    </message>
    <message>
      <source>The request is kept. Paste the connect string into the settings, then send it again.</source>
      <translation>The request is kept. Paste the connect string into the settings, then send it again.</translation>
    </message>
    <message>
      <source>The same seed each time</source>
      <translation>The same seed each time</translation>
    </message>
    <message>
      <source>The server at {url} sends requests elsewhere.</source>
      <translation>The server at {url} sends requests elsewhere.</translation>
    </message>
    <message>
      <source>The server makes the revision with the first render.</source>
      <translation>The server makes the revision with the first render.</translation>
    </message>
    <message>
      <source>The token goes over the network unencrypted. Use https where you can.</source>
      <translation>The token goes over the network unencrypted. Use https where you can.</translation>
    </message>
    <message>
      <source>The token in the address is damaged. Copy the connect string again.</source>
      <translation>The token in the address is damaged. Copy the connect string again.</translation>
    </message>
    <message>
      <source>There is no 3D view of this document. Open one, or render the part.</source>
      <translation>There is no 3D view of this document. Open one, or render the part.</translation>
    </message>
    <message>
      <source>There is no host of that name: {url}.</source>
      <translation>There is no host of that name: {url}.</translation>
    </message>
    <message>
      <source>These objects lie in different assemblies. Select one of them, or the assembly around them.</source>
      <translation>These objects lie in different assemblies. Select one of them, or the assembly around them.</translation>
    </message>
    <message>
      <source>This is no address of a server.</source>
      <translation>This is no address of a server.</translation>
    </message>
    <message>
      <source>This token may look, but not ask for renders. Ask for one with the role engineer.</source>
      <translation>This token may look, but not ask for renders. Ask for one with the role engineer.</translation>
    </message>
    <message>
      <source>This very picture was made before: it is shown below.</source>
      <translation>This very picture was made before: it is shown below.</translation>
    </message>
    <message>
      <source>Token</source>
      <translation>Token</translation>
    </message>
    <message>
      <source>Top</source>
      <translation>Top</translation>
    </message>
    <message>
      <source>Try again</source>
      <translation>Try again</translation>
    </message>
    <message>
      <source>Use settings</source>
      <translation>Use settings</translation>
    </message>
    <message>
      <source>Use these settings</source>
      <translation>Use these settings</translation>
    </message>
    <message>
      <source>Vary</source>
      <translation>Vary</translation>
    </message>
    <message>
      <source>Vary: more like this one</source>
      <translation>Vary: more like this one</translation>
    </message>
    <message>
      <source>View</source>
      <translation>View</translation>
    </message>
    <message>
      <source>Waiting for the server …</source>
      <translation>Waiting for the server …</translation>
    </message>
    <message>
      <source>What answers at {url} is not an mfgviz server.</source>
      <translation>What answers at {url} is not an mfgviz server.</translation>
    </message>
    <message>
      <source>What the part looks like, in words</source>
      <translation>What the part looks like, in words</translation>
    </message>
    <message>
      <source>Your jobs go on there; they are shown when it answers again.</source>
      <translation>Your jobs go on there; they are shown when it answers again.</translation>
    </message>
    <message>
      <source>administrator</source>
      <translation>administrator</translation>
    </message>
    <message>
      <source>another one each time</source>
      <translation>another one each time</translation>
    </message>
    <message>
      <source>approver</source>
      <translation>approver</translation>
    </message>
    <message>
      <source>engineer</source>
      <translation>engineer</translation>
    </message>
    <message>
      <source>in review</source>
      <translation>in review</translation>
    </message>
    <message>
      <source>in work</source>
      <translation>in work</translation>
    </message>
    <message>
      <source>kept; enter another to replace it</source>
      <translation>kept; enter another to replace it</translation>
    </message>
    <message>
      <source>mfgv_…</source>
      <translation>mfgv_…</translation>
    </message>
    <message>
      <source>mfgviz renders</source>
      <translation>mfgviz renders</translation>
    </message>
    <message>
      <source>mfgviz settings</source>
      <translation>mfgviz settings</translation>
    </message>
    <message>
      <source>new</source>
      <translation>new</translation>
    </message>
    <message>
      <source>none</source>
      <translation>none</translation>
    </message>
    <message>
      <source>nothing in particular</source>
      <translation>nothing in particular</translation>
    </message>
    <message>
      <source>obsolete</source>
      <translation>obsolete</translation>
    </message>
    <message>
      <source>part number</source>
      <translation>part number</translation>
    </message>
    <message>
      <source>released</source>
      <translation>released</translation>
    </message>
    <message>
      <source>revision</source>
      <translation>revision</translation>
    </message>
    <message>
      <source>viewer</source>
      <translation>viewer</translation>
    </message>
    <message>
      <source>{count} more after it.</source>
      <translation>{count} more after it.</translation>
    </message>
    <message>
      <source>{count} objects: {names}</source>
      <translation>{count} objects: {names}</translation>
    </message>
    <message>
      <source>{count} requests were not sent, and are kept.</source>
      <translation>{count} requests were not sent, and are kept.</translation>
    </message>
    <message>
      <source>{path} cannot be written: {reason}</source>
      <translation>{path} cannot be written: {reason}</translation>
    </message>
    <message>
      <source>{reference} is {state}: its geometry no longer changes, and this part's shape is another.</source>
      <translation>{reference} is {state}: its geometry no longer changes, and this part's shape is another.</translation>
    </message>
    <message>
      <source>{url} cannot be reached: {reason}</source>
      <translation>{url} cannot be reached: {reason}</translation>
    </message>
    <message>
      <source>{url} did not answer in time.</source>
      <translation>{url} did not answer in time.</translation>
    </message>
    <message>
      <source>{width} x {height} px · seed {seed} · {model} · {time}</source>
      <translation>{width} x {height} px · seed {seed} · {model} · {time}</translation>
    </message>
    <message>
      <source>“{label}” has no solid to render. Select a body or a part.</source>
      <translation>“{label}” has no solid to render. Select a body or a part.</translation>
    </message>
    <message>
      <source>“{label}” is a mesh. Make a solid of it first (Part → Create shape from mesh).</source>
      <translation>“{label}” is a mesh. Make a solid of it first (Part → Create shape from mesh).</translation>
    </message>
    <message>
      <source>“{label}” is a sketch. Pad or revolve it, or select a body.</source>
      <translation>“{label}” is a sketch. Pad or revolve it, or select a body.</translation>
    </message>
    <message>
      <source>“{label}” is closed. Its render goes on, and is attached on the server.</source>
      <translation>“{label}” is closed. Its render goes on, and is attached on the server.</translation>
    </message>
    <message>
      <source>“{label}” is closed; its renders are attached to {reference} on the server.</source>
      <translation>“{label}” is closed; its renders are attached to {reference} on the server.</translation>
    </message>
    <message>
      <source>“{title}” has neither solids nor surfaces. Select a body or a part.</source>
      <translation>“{title}” has neither solids nor surfaces. Select a body or a part.</translation>
    </message>
    <message>
      <source>“{title}” has no shape. Recompute the document, or select a body.</source>
      <translation>“{title}” has no shape. Recompute the document, or select a body.</translation>
    </message>
    <message>
      <source>“{title}” has no solid: its surfaces are sent.</source>
      <translation>“{title}” has no solid: its surfaces are sent.</translation>
    </message>
  </context>
</TS>
