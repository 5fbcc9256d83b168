"""Holds what invented customers say: fragments by language and by what their end tells."""

ByLanguage = dict[str, tuple[str, ...]]

GREETING: ByLanguage = {
    "es": ("Hola", "Hola, buenos días", "Buenas tardes", "Hola, qué tal?"),
    "en": ("Hi", "Hello there", "Good morning", "Hey, good evening"),
    "pt": ("Oi", "Olá, bom dia", "Boa tarde", "Oi, tudo bem?"),
}

UNFINISHED: ByLanguage = {
    "es": (
        "quería preguntarles por el",
        "vi el anuncio de ustedes y",
        "el pedido es para mi mamá,",
        "tengo dos dudas:",
        "me llegó el paquete pero",
        "estaba mirando la página...",
        "si lo pago con tarjeta,",
        "necesito una cita para",
    ),
    "en": (
        "I wanted to ask about the",
        "I saw your ad and",
        "there are two things:",
        "the parcel arrived but",
        "I was looking at the website...",
        "if I pay by card,",
        "I need an appointment for",
        "it is a present for my",
    ),
    "pt": (
        "queria perguntar sobre os",
        "vi o anúncio de vocês e",
        "tenho duas dúvidas:",
        "o pacote chegou mas",
        "estava olhando o site...",
        "se eu pagar com cartão,",
        "preciso de um horário para",
        "é um presente para minha",
    ),
}
NOTHING: ByLanguage = {
    "es": (
        "el pedido de la semana pasada",
        "vivo en el barrio norte",
        "talla mediana color azul",
        "pagué ayer por la noche",
        "me interesa el plan familiar",
        "es la segunda vez que escribo",
        "mi número de pedido es 48213",
        "ayer no me contestó nadie",
    ),
    "en": (
        "the order from last week",
        "I live in the north district",
        "size medium in blue",
        "I paid yesterday evening",
        "the family plan looks good",
        "this is the second time I write",
        "my order number is 48213",
        "nobody answered yesterday",
    ),
    "pt": (
        "o pedido da semana passada",
        "moro no bairro norte",
        "tamanho médio cor azul",
        "paguei ontem à noite",
        "gostei do plano família",
        "é a segunda vez que escrevo",
        "meu número de pedido é 48213",
        "ontem ninguém respondeu",
    ),
}

QUESTION: ByLanguage = {
    "es": (
        "¿cuánto cuesta el envío?",
        "¿a qué hora cierran hoy?",
        "¿me lo pueden cambiar?",
        "tienen cita para el viernes?",
        "cuándo llega mi pedido?",
        "¿aceptan transferencia?",
    ),
    "en": (
        "how much is shipping?",
        "when do you close today?",
        "can I exchange it?",
        "any appointment free on Friday?",
        "when does my order arrive?",
        "do you take bank transfers?",
    ),
    "pt": (
        "quanto custa o frete?",
        "que horas vocês fecham hoje?",
        "posso trocar?",
        "tem horário na sexta?",
        "quando chega meu pedido?",
        "vocês aceitam transferência?",
    ),
}

FINISHED: ByLanguage = {
    "es": (
        "Quiero cambiar la dirección de entrega.",
        "Necesito la factura a nombre de la empresa.",
        "Prefiero que me llamen en la tarde.",
        "El color que llegó no es el que pedí.",
        "Ya hice la transferencia.",
    ),
    "en": (
        "I want to change the delivery address.",
        "I need the invoice in the company's name.",
        "Please call me in the afternoon.",
        "The colour that came is not what I ordered.",
        "I have made the transfer.",
    ),
    "pt": (
        "Quero mudar o endereço de entrega.",
        "Preciso da nota em nome da empresa.",
        "Prefiro que me liguem à tarde.",
        "A cor que chegou não é a que pedi.",
        "Já fiz a transferência.",
    ),
}

CLOSING: ByLanguage = {
    "es": ("Muchas gracias", "Listo, gracias!", "Quedo atenta, gracias."),
    "en": ("Thanks a lot", "Great, thank you!", "Thanks for your help."),
    "pt": ("Muito obrigada", "Certo, obrigado!", "Obrigada pela ajuda."),
}

PHRASES: dict[str, ByLanguage] = {
    "greeting": GREETING,
    "unfinished": UNFINISHED,
    "nothing": NOTHING,
    "question": QUESTION,
    "finished": FINISHED,
    "closing": CLOSING,
}
"""By kind of ending, then by language."""
